//! One question to every context: so many at a time, each with its own limit of time, so that one that hangs holds up no
//! other; and the answers as one table or document.

use std::time::Duration;

use color_eyre::Result;
use futures_util::stream::{self, StreamExt};
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::time::timeout;

use super::Context;
use crate::cli::connect::{access_unasked, print, print_json};
use crate::cli::exit::Exit;
use crate::cli::table::table;
use crate::config::{OutputFormat, Settings};
use crate::etcd::Access;
use crate::model::Verdict;
use crate::model::fleet::{Standing, Summary};
use crate::model::text::printable;
use crate::model::units::age;

/// Contexts that are asked at the same time.
const AT_ONCE: usize = 16;

/// What a command tells of one cluster.
pub(super) trait Tells {
    /// The name of its document in JSON.
    const FIELD: &'static str;
    /// Its columns between the verdict and the reason.
    const HEAD: &'static [&'static str];
    /// Which of them are figures.
    const RIGHT: &'static [usize];
    /// How it ends when a context cannot be asked.
    const NOT_ASKED: Exit;
    /// Its document, as for one cluster alone.
    type Json<'a>: Serialize
    where
        Self: 'a;
    fn json(&self) -> Self::Json<'_>;
    fn exit(&self) -> Exit;
    /// What its cluster is.
    fn verdict(&self) -> &Verdict;
    /// Why, in a line.
    fn reason(&self) -> String {
        self.verdict().reason.clone()
    }
    fn cells(&self) -> Vec<String>;
}

/// What came of a context.
struct Answer<T> {
    context: String,
    told: Result<T, String>,
}

impl<T: Tells> Answer<T> {
    fn exit(&self) -> Exit {
        self.told.as_ref().map_or(T::NOT_ASKED, Tells::exit)
    }

    fn standing(&self) -> Standing {
        self.told.as_ref().map_or(Standing::NotAsked, |t| Standing::Judged(t.verdict().kind))
    }

    fn row(&self) -> Vec<String> {
        let (headline, cells, reason) = match &self.told {
            Ok(told) => (told.verdict().headline.clone(), told.cells(), told.reason()),
            Err(why) => {
                (Standing::NotAsked.word().to_owned(), vec!["-".to_owned(); T::HEAD.len()], why.clone())
            }
        };
        let mut row = vec![printable(&self.context).into_owned(), headline];
        row.extend(cells);
        row.push(printable(&reason).into_owned());
        row
    }
}

impl<T: Tells> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(4))?;
        map.serialize_entry("context", &self.context)?;
        map.serialize_entry(T::FIELD, &self.told.as_ref().ok().map(Tells::json))?;
        map.serialize_entry("error", &self.told.as_ref().err())?;
        map.serialize_entry("exit", &self.exit().number())?;
        map.end()
    }
}

/// All answers as one document, worst first.
#[derive(serde::Serialize)]
#[serde(bound = "")]
struct All<'a, T: Tells> {
    contexts: &'a [Answer<T>],
}

/// Asks every context and prints what it tells: with jsonl as it comes, otherwise worst first. `limit` is what the slowest
/// cluster may take with these settings; none where that depends on the cluster.
pub(super) async fn ask_all<T: Tells>(
    contexts: Vec<Context>,
    format: OutputFormat,
    limit: impl Fn(&Settings) -> Option<Duration>,
    ask: impl AsyncFn(&Settings, Access) -> Result<T>,
) -> Result<Exit> {
    let asked = contexts.into_iter().map(|Context { name, settings }| {
        let (limit, ask) = (&limit, &ask);
        async move {
            let told = match settings {
                Ok(settings) => {
                    within(limit(&settings), async { ask(&settings, access_unasked(&settings)?).await })
                        .await
                        .map_err(|e| format!("{e:#}"))
                }
                Err(why) => Err(why),
            };
            Answer { context: name, told }
        }
    });
    let mut coming = std::pin::pin!(stream::iter(asked).buffer_unordered(AT_ONCE));
    let mut answers: Vec<Answer<T>> = Vec::new();
    while let Some(answer) = coming.next().await {
        if format == OutputFormat::Jsonl {
            print_json(&answer)?;
        }
        answers.push(answer);
    }
    answers.sort_by(|a, b| {
        b.standing().rank().cmp(&a.standing().rank()).then_with(|| a.context.cmp(&b.context))
    });
    match format {
        OutputFormat::Table => print(&human(&answers))?,
        OutputFormat::Json => print_json(&All { contexts: &answers })?,
        OutputFormat::Jsonl => {}
    }
    Ok(Exit::worst(answers.iter().map(Answer::exit)))
}

async fn within<T>(limit: Option<Duration>, asking: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(limit) = limit else { return asking.await };
    // Every call in it has a limit of its own: this one is for what none of them foresees.
    let late = |_| color_eyre::eyre::eyre!("it was given up after {}", age(limit));
    timeout(limit, asking).await.map_err(late)?
}

fn human<T: Tells>(answers: &[Answer<T>]) -> String {
    let rows: Vec<_> = answers.iter().map(Answer::row).collect();
    let mut head = vec!["CONTEXT", "VERDICT"];
    head.extend(T::HEAD);
    head.push("REASON");
    let right: Vec<_> = T::RIGHT.iter().map(|i| i + 2).collect();
    format!("{}\n{}\n", table(&head, &rows, &right), Summary::of(answers.iter().map(Answer::standing)))
}
