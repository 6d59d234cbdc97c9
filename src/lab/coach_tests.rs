//! The coach on views that nobody polled.

use jiff::SignedDuration;

use super::*;
use crate::lab::scenario::{self, MYSTERY};
use crate::model::{MemberState, Revision};
use crate::testing::{healthy, noon, with_state};

fn at(seconds: i64) -> Timestamp {
    noon().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// `m1` of three was killed, and `m2` leads, at so many seconds.
fn crashed(seconds: i64) -> Arc<ClusterView> {
    let mut view = with_state(healthy(3), 0, MemberState::Refused, "nothing listens");
    view.leader = view.members[1].id;
    view.at = at(seconds);
    Arc::new(view)
}

fn whole(seconds: i64) -> Arc<ClusterView> {
    let mut view = healthy(3);
    view.leader = view.members[1].id;
    view.at = at(seconds);
    Arc::new(view)
}

/// `leader-crash`, with `m1` as the leader that crashes, when it is the learner's turn.
fn begun(mystery: bool) -> Coach {
    let scenario = scenario::find("leader-crash").unwrap();
    let mut coach = Coach::new(scenario, Cast::draw(3, 0), mystery);
    coach.view(&crashed(0), Around::default());
    assert!(matches!(coach.told().stand, Stand::Prepares(_)), "nobody has brought it about yet");
    coach.caused(at(0));
    coach.view(&crashed(1), Around::default());
    assert!(coach.runs());
    coach
}

#[test]
fn it_is_solved_when_the_goal_has_held_for_a_while_and_not_before() {
    let mut coach = begun(false);
    for second in 2..5 {
        coach.view(&whole(second), Around::default());
        assert!(coach.runs(), "{second}");
        assert!(coach.told().missing.is_some());
    }
    coach.view(&whole(5), Around::default());
    let told = coach.told();
    assert_eq!((told.stand, told.score, told.missing), (Stand::Solved, 100, None));
    assert!(told.debrief.len() > 2);
    // What comes afterwards changes nothing.
    coach.view(&crashed(6), Around::default());
    assert_eq!(coach.told().stand, Stand::Solved);
}

#[test]
fn a_goal_that_breaks_off_begins_anew() {
    let mut coach = begun(false);
    coach.view(&whole(2), Around::default());
    coach.view(&crashed(4), Around::default());
    coach.view(&whole(6), Around::default());
    coach.view(&whole(8), Around::default());
    assert!(coach.runs(), "two seconds are no three");
    coach.view(&whole(9), Around::default());
    assert_eq!(coach.told().stand, Stand::Solved);
}

#[test]
fn hints_mistakes_and_time_cost_points() {
    let mut coach = begun(false);
    coach.hint();
    assert_eq!((coach.told().hints.len(), coach.score()), (1, 90));
    for _ in 0..9 {
        coach.hint();
    }
    // As many as there are, and no more.
    assert_eq!((coach.told().hints.len(), coach.told().hints_left, coach.score()), (3, 0, 70));
    let act = Act::Restart(crate::lab::act::Who::B);
    coach.begins(act, at(2));
    assert!(coach.told().doing.is_some());
    coach.done(act, Ok("m2 was restarted".into()), at(3));
    for second in 3..6 {
        coach.view(&crashed(second), Around::default());
    }
    let told = coach.told();
    assert_eq!((told.mistakes.len(), told.score, told.doing), (1, 55, None), "a mistake counts once");
    // A par of 30 s: ten seconds over it cost a point.
    coach.view(&crashed(1 + 30 + 25), Around::default());
    assert_eq!(coach.score(), 53);
}

#[test]
fn what_cannot_be_mended_is_lost() {
    let mut coach = begun(false);
    let mut view = ClusterView::clone(&crashed(2));
    view.members.remove(0);
    coach.view(&Arc::new(view), Around::default());
    let told = coach.told();
    assert!(matches!(&told.stand, Stand::Lost(why) if why.starts_with("m1 was removed")), "{:?}", told.stand);
    assert_eq!(told.score, 0);
}

#[test]
fn a_mystery_tells_nothing_before_its_end() {
    let mut coach = begun(true);
    let told = coach.told();
    assert_eq!((told.scenario.as_str(), told.step, told.of), (MYSTERY, 1, 1));
    let texts = format!("{} {} {} {:?}", told.title, told.symptom, told.task, told.missing);
    assert!(!texts.contains("leader") && !texts.contains("crash"), "{texts}");
    for second in 2..9 {
        coach.view(&whole(second), Around::default());
    }
    let told = coach.told();
    assert_eq!((told.stand, told.scenario.as_str()), (Stand::Solved, "leader-crash"));
}

#[test]
fn what_changed_is_told_from_the_learners_turn_on() {
    let mut coach = begun(false);
    assert!(coach.told().changed.is_empty());
    coach.view(&whole(2), Around::default());
    let lines: Vec<_> = coach.told().changed.into_iter().map(|c| c.line).collect();
    assert!(lines.iter().any(|l| l.starts_with("m1 ok (was refused)")), "{lines:?}");
}

#[test]
fn a_file_that_shrinks_was_rewritten_and_growth_is_none() {
    let size = |view: &mut ClusterView, bytes: u64| {
        view.members[1].status.as_mut().unwrap().db_size = Some(crate::model::Bytes(bytes));
    };
    let mut ledger = Ledger::default();
    for (second, mib) in [(0, 80), (1, 96), (2, 95), (3, 24), (4, 24)] {
        let mut view = ClusterView::clone(&whole(second));
        size(&mut view, mib << 20);
        ledger.view(&view);
    }
    assert_eq!(ledger.rewrites.len(), 1);
    let rewrite = ledger.rewrites[0];
    assert_eq!((rewrite.before.0, rewrite.after.0), (95 << 20, 24 << 20));
    assert!(rewrite.led, "m2 leads in these views");
}

#[test]
fn the_tour_goes_step_by_step() {
    let scenario = scenario::find("tour").unwrap();
    let mut coach = Coach::new(scenario, Cast::draw(3, 0), false);
    coach.caused(at(0));
    for second in 0..3 {
        coach.view(&whole(second), Around::default());
    }
    assert!(coach.runs());
    let mut view = ClusterView::clone(&whole(3));
    view.revision = view.revision.map(|r| Revision(r.0 + 1));
    coach.view(&Arc::new(view), Around::default());
    assert_eq!((coach.told().step, coach.told().of, coach.reached()), (2, 4, 1));
}

#[test]
fn a_symptom_that_does_not_show_is_not_waited_for_for_ever() {
    let scenario = scenario::find("leader-crash").unwrap();
    let mut coach = Coach::new(scenario, Cast::draw(3, 0), false);
    coach.caused(at(0));
    coach.view(&whole(60), Around::default());
    assert!(matches!(coach.told().stand, Stand::Prepares(_)));
    coach.view(&whole(61), Around::default());
    let told = coach.told();
    assert!(
        matches!(&told.stand, Stand::Lost(why) if why.contains("m1 is not gone yet")),
        "{:?}",
        told.stand
    );
}

/// A moved leader: for one poll nobody has one. That is no absence of two members.
#[test]
fn an_election_is_no_absence() {
    let mut ledger = Ledger::default();
    for second in 0..6 {
        let mut view = ClusterView::clone(&whole(second));
        for m in &mut view.members {
            if second == 2 {
                m.state = MemberState::NoLeader;
            }
        }
        if second > 3 {
            view.members[2].state = MemberState::Refused;
        }
        ledger.view(&view);
    }
    assert_eq!(ledger.most_away, 1);
    assert_eq!(ledger.absences.len(), 1);
}
