//! `docs/lab.md`, made from the table of scenarios.

use super::act::Cast;
use super::scenario::{Move, TABLE};
use crate::model::units::span;

/// What stands before the scenarios.
const HEAD: &str = "# The lab

Made from the table of scenarios in `src/lab/scenario.rs` (`UPDATE_DOCS=1 cargo test --test it house` makes it anew).

`etcdtop lab NAME` starts a real etcd cluster on this machine, without root and without a container, and brings a symptom about. The
coach stands beside every view: what is to be reached, what is still missing of it by what is observed, what changed since, and on
wish a hint. Whoever plays which part is drawn anew for each run, so that nobody learns names by heart (`--seed` repeats one).

- `i` a hint (10 points), `A` what can be done besides the dashboard's own keys: what one would do on a host or with etcdctl, `C` all
  that the coach says, and after the end what etcd did inside.
- 100 points; a mistake costs 15, each ten seconds over par one, up to 30. Lost is 0.
- Goals are checked by what is observed: what the members answer, what clients that write and watch feel, what lies in the folder of
  snapshots; whoever did it, with etcdtop or with etcdctl in another terminal. Only snapshots and comparisons of the members' data have to
  be made with etcdtop's own keys (`s`, `H`): a file without a side file tells nobody when it was verified.
- What the scenarios offer in `A` is really done: processes are killed and started, disks are emptied, bytes between members are held
  back by proxies, etcdctl is run.
- Another terminal follows, read-only: `etcdtop lab --follow`. Snapshots, journal and recording of a lab lie in its scratch folder and
  go with it, also when etcdtop is killed; `--record FILE` keeps the recording.
- `etcdtop lab --list` names all, `etcdtop lab --check [NAME] [--etcd-version 3.5] [--jobs N]` plays them without a screen: the right
  answer must solve each one without a mistake, a wrong one must not, and the coach must say why. CI does that on 3.5 and 3.7.

`etcdtop lab mystery` is one of those marked *incident*; nobody tells which.
";

/// `docs/lab.md`.
#[must_use]
pub fn scenarios() -> String {
    let mut out = HEAD.to_owned();
    for s in TABLE {
        let cast = Cast::draw(s.setting.members, 0);
        let kind = if s.incident { " *(incident)*" } else { "" };
        out.push_str(&format!("\n## {}: {}{kind}\n\n", s.name, cast.tell(s.title)));
        out.push_str(&format!(
            "{}\n\nTeaches {}. Par: {}.\n\n",
            cast.tell(s.symptom),
            s.teaches,
            span(s.par)
        ));
        out.push_str("<details><summary>For the instructor: steps, the answer, what etcd did</summary>\n\n");
        for (i, step) in s.steps.iter().enumerate() {
            out.push_str(&format!(
                "{}. {} Look at: {}.\n",
                i + 1,
                cast.tell(step.task),
                cast.tell(step.look)
            ));
        }
        out.push_str(&format!("\n- solves it: {}\n", told(s.right, &cast)));
        out.push_str(&format!("- does not: {}\n", told(s.wrong.moves, &cast)));
        for paragraph in s.debrief {
            out.push_str(&format!("\n{}\n", cast.tell(paragraph)));
        }
        out.push_str("\n</details>\n");
    }
    out
}

fn told(moves: &[Move], cast: &Cast) -> String {
    let one = |m: &Move| match *m {
        Move::Compact(keep) => Some(format!("`c`, keep {keep}")),
        Move::Defragment(who) => Some(format!("`d` on {}", cast.name(who))),
        Move::Roll { .. } => Some("`D`".into()),
        Move::Snapshot => Some("`s`".into()),
        Move::Disarm => Some("`a`".into()),
        Move::MoveLeader(who) => Some(format!("`L` on {}", cast.name(who))),
        Move::Recover => Some("`R`".into()),
        Move::CompareData => Some("`H`".into()),
        Move::Act(act) => Some(format!("`A` {}", act.choice(cast).title)),
        Move::Reach => None,
    };
    moves.iter().filter_map(one).collect::<Vec<_>>().join(", then ")
}
