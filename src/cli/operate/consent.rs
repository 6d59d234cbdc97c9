//! A plan for people, and whether they agree to it.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use tokio::task::spawn_blocking;
use unicode_width::UnicodeWidthStr;

use super::Outcome;
use super::args::ChangeArgs;
use super::report::StepJson;
use crate::cli::table::table;
use crate::cli::voice;
use crate::model::units::{age, bytes, latency};
use crate::model::{AlarmKind, Bytes};
use crate::ops::plan::{Action, Plan, Verdict};

/// How somebody may agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consent<'a> {
    yes: bool,
    typed: Option<&'a str>,
}

impl<'a> Consent<'a> {
    pub(super) fn of(change: Option<&'a ChangeArgs>) -> Self {
        Self { yes: change.is_some_and(|c| c.yes), typed: change.and_then(|c| c.confirm.as_deref()) }
    }
}

/// What was typed to confirm a plan, on the command line or at the prompt; or why it is not confirmed.
pub(super) async fn given(plan: &Plan, consent: Consent<'_>, asked: &mut bool) -> Result<String, String> {
    if !plan.changes() {
        return Ok(String::new());
    }
    let name = plan.name_to_type.as_str();
    if let Some(typed) = consent.typed {
        return if typed.trim() == name {
            Ok(name.to_owned())
        } else {
            Err(format!("--confirm {typed:?} is not {name:?}: nothing was done"))
        };
    }
    let corrupt =
        |s: &crate::ops::plan::Step| matches!(s.action, Action::Disarm { alarm: AlarmKind::Corrupt, .. });
    if consent.yes {
        if plan.steps.iter().any(corrupt) {
            return Err(format!(
                "CORRUPT is not taken back by --yes: members hold different data, find the odd one first \
                 (etcdtop diagnose --hashkv); then --confirm {name}"
            ));
        }
        return Ok(name.to_owned());
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err("a change must be confirmed: --yes does it where there is no terminal to ask".into());
    }
    let needs = plan.typed_name().map(str::to_owned);
    *asked = true;
    let asks = match &needs {
        Some(name) => format!("type {name} to do it, anything else does nothing: "),
        None => "do it? [y/N] ".into(),
    };
    voice::err(&format!("{}{asks}", text(plan)));
    let answer = spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
    let answer = answer.trim();
    match needs {
        Some(name) if answer == name => Ok(name),
        None if matches!(answer.to_lowercase().as_str(), "y" | "yes") => Ok(String::new()),
        _ => Err("not confirmed: nothing was done".into()),
    }
}

/// Columns of a plan's sentences at most; and as many as there are.
const WIDTH: usize = 100;

fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr())
        .map_or(WIDTH, |size| usize::from(size.ws_col))
        .clamp(40, WIDTH)
}

/// A sentence in lines of so many columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A plan in words.
fn text(plan: &Plan) -> String {
    let mut out = format!("{}\n", plan.title);
    for line in &plan.consequences {
        for part in wrapped(line, width() - 2) {
            out.push_str(&format!("  {part}\n"));
        }
    }
    out.push_str(&steps(&super::report::planned(plan), true));
    for line in &plan.skipped {
        out.push_str(&format!("left out: {line}\n"));
    }
    for check in &plan.checks {
        let word = match check.verdict {
            Verdict::Pass => "ok",
            Verdict::Warn => "warn",
            Verdict::Block => "no",
        };
        for (i, part) in wrapped(&check.line, width() - 8).iter().enumerate() {
            let word = if i == 0 { word } else { "" };
            out.push_str(&format!("{word:>6}  {part}\n"));
        }
    }
    if let Some(danger) = &plan.danger {
        out.push_str(&format!("  mind  {danger}\n"));
    }
    if let Some(estimate) = plan.estimate().filter(|e| e.as_secs() > 0) {
        out.push_str(&format!("about {}\n", age(estimate)));
    }
    out
}

fn steps(steps: &[StepJson<'_>], planned: bool) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let size = |b: Option<Bytes>| b.map_or_else(|| "-".into(), |b| b.to_string());
    let rows: Vec<_> = steps
        .iter()
        .map(|s| {
            let took = s.took_ms.map_or_else(|| "-".into(), |ms| latency(Duration::from_millis(ms)));
            let mut row = vec![s.step.to_string(), s.title.to_owned()];
            if !planned {
                row.push(s.state.replace('_', " "));
            }
            row.extend([size(s.before), size(s.after), if planned { format!("~{took}") } else { took }]);
            row
        })
        .collect();
    if planned {
        table(&["STEP", "WHAT", "NOW", "AFTER", "TAKES"], &rows, &[0, 2, 3, 4]).replace("~-", "-")
    } else {
        table(&["STEP", "WHAT", "RESULT", "BEFORE", "AFTER", "TOOK"], &rows, &[0, 3, 4, 5])
    }
}

/// What a run came to, for people: the plan of one that was only planned, what was done of any other.
pub(super) fn table_of(outcome: &Outcome) -> String {
    let report = outcome.report();
    if let (Some(plan), None) = (&outcome.plan, &outcome.operation) {
        // Why it was not carried out stands on standard error. That there was nothing to do says it all: cron mails the rest.
        let shown = report.result == super::report::Result::NothingToDo || outcome.asked;
        return if shown { String::new() } else { text(plan) };
    }
    let mut out = steps(&report.steps, false);
    if report.reclaimed_bytes > 0 {
        out.push_str(&format!(
            "gave back {} in {}\n",
            bytes(report.reclaimed_bytes),
            latency(Duration::from_secs_f64(report.seconds))
        ));
    }
    out
}
