//! Polls every context, as a dashboard polls its own but without `/metrics`, and keeps one row of each: the newest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Context;
use crate::cli::connect::{access_unasked, poll_options};
use crate::config::Settings;
use crate::diagnose::{self, Case, Damper};
use crate::etcd::ListedMember;
use crate::model::fleet::{Row, Told};
use crate::model::text::printable;
use crate::model::verdict::judge;
use crate::model::{ClusterView, Revision};
use crate::poll::Poll;
use crate::poll::history::History;

/// Not all begin in the same moment: hundreds of handshakes at once would make each look slow. So far apart, and all of them
/// within so long.
const APART: (Duration, Duration) = (Duration::from_millis(8), Duration::from_secs(1));
/// How often a context is looked at again whose certificates or endpoints could not be had.
const AGAIN: Duration = Duration::from_secs(30);
/// How far apart the revisions are at least that a rate is told from.
const RATE_OVER: Duration = Duration::from_secs(5);

/// How to poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pace {
    /// The pause that was asked for; none: what each context says.
    asked: Option<Duration>,
    /// At least so long, whatever was asked for.
    least: Duration,
    /// How often it was asked to poll at once.
    now: u64,
}

impl Pace {
    fn pause(self, own: Duration) -> Duration {
        self.asked.unwrap_or(own).max(self.least)
    }
}

/// Rows that changed since they were taken last.
#[derive(Default)]
struct News {
    rows: Mutex<BTreeMap<String, Row>>,
    /// The newest view of each context.
    views: Mutex<BTreeMap<String, Arc<ClusterView>>>,
    came: Notify,
}

impl News {
    fn put(&self, row: Row) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).insert(row.context.clone(), row);
        self.came.notify_one();
    }
}

/// The polls of all contexts. Dropping it stops them.
pub(super) struct Watched {
    news: Arc<News>,
    pace: watch::Sender<Pace>,
    _tasks: JoinSet<()>,
}

impl Watched {
    /// Starts; returns at once.
    pub(super) fn start(contexts: &[Context]) -> Self {
        let news = Arc::new(News::default());
        let pace = watch::Sender::new(Pace::default());
        let mut tasks = JoinSet::new();
        let count = u32::try_from(contexts.len()).unwrap_or(u32::MAX).max(1);
        let apart = APART.0.min(APART.1 / count);
        for (i, context) in (0_u32..).zip(contexts) {
            let name = printable(&context.name).into_owned();
            // Settings that cannot be used are a row already, and nothing comes of them.
            let Ok(settings) = context.settings.clone() else { continue };
            let (news, pace) = (Arc::clone(&news), pace.subscribe());
            tasks.spawn(async move {
                sleep(apart * i).await;
                follow(&name, &settings, &news, pace).await;
            });
        }
        Self { news, pace, _tasks: tasks }
    }

    /// The rows that changed, as soon as there are some.
    pub(super) async fn next(&self) -> Vec<Row> {
        loop {
            self.news.came.notified().await;
            let rows = std::mem::take(&mut *self.news.rows.lock().unwrap_or_else(PoisonError::into_inner));
            if !rows.is_empty() {
                return rows.into_values().collect();
            }
        }
    }

    /// The members of a context that are known by now.
    pub(super) fn members(&self, context: &str) -> Vec<ListedMember> {
        let views = self.news.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.get(context).into_iter().flat_map(|view| &view.members).filter_map(ListedMember::of).collect()
    }

    /// Polls with this pause.
    pub(super) fn set_interval(&self, pause: Duration) {
        self.pace.send_modify(|p| p.asked = Some(pause));
    }

    /// Polls everybody now.
    pub(super) fn poll_now(&self) {
        self.pace.send_modify(|p| p.now += 1);
    }

    /// Nobody looks: no more often than this. [`Duration::ZERO`]: somebody does again.
    pub(super) fn rest(&self, least: Duration) {
        self.pace.send_modify(|p| p.least = least);
    }
}

/// Polls a context for as long as anybody wants to know.
async fn follow(name: &str, settings: &Settings, news: &News, mut pace: watch::Receiver<Pace>) {
    loop {
        let options = match access_unasked(settings) {
            Ok(access) => poll_options(access, settings).await,
            Err(e) => Err(e),
        };
        let mut options = match options {
            Ok(options) => options,
            Err(why) => {
                let told = Err(printable(&format!("{why:#}")).into_owned());
                news.put(Row { context: name.to_owned(), told });
                // A file or a resolver may be put right meanwhile; or somebody asks.
                let _ = timeout(AGAIN, pace.changed()).await;
                continue;
            }
        };
        let own = options.interval;
        // Of many clusters only what a call tells: bodies of /metrics are a hundred times as large.
        options.metrics_every = None;
        let mut last = *pace.borrow_and_update();
        options.interval = last.pause(own);
        let poll = Poll::start(options);
        let mut views = poll.views();
        let mut eyes = Eyes::default();
        loop {
            tokio::select! {
                changed = views.changed() => {
                    if changed.is_err() {
                        let told = Err("polling has ended by an internal error".to_owned());
                        news.put(Row { context: name.to_owned(), told });
                        break;
                    }
                    let view = Arc::clone(&views.borrow_and_update());
                    let told = Told { every: last.pause(own), ..eyes.look(&view) };
                    news.views.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), view);
                    news.put(Row { context: name.to_owned(), told: Ok(told) });
                }
                changed = pace.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let wanted = *pace.borrow_and_update();
                    if wanted.pause(own) != last.pause(own) {
                        poll.set_interval(wanted.pause(own));
                    }
                    if wanted.now != last.now {
                        poll.poll_now();
                    }
                    last = wanted;
                }
            }
        }
        sleep(AGAIN).await;
    }
}

/// What is remembered of a cluster from one view to the next: little, for there are many.
#[derive(Default)]
struct Eyes {
    damper: Damper,
    revisions: VecDeque<(Timestamp, Revision)>,
}

impl Eyes {
    fn look(&mut self, view: &ClusterView) -> Told {
        let found = diagnose::findings(&Case::new(view, &History::default()));
        let verdict = judge(view, &self.damper.settle(found, view));
        Told { rate: self.rate(view), ..Told::of(view, verdict) }
    }

    /// Revisions a second since at least [`RATE_OVER`] ago.
    fn rate(&mut self, view: &ClusterView) -> Option<f64> {
        let now = (view.at, view.revision?);
        let since = |at: Timestamp| now.0.duration_since(at).as_secs_f64();
        while self.revisions.get(1).is_some_and(|(at, _)| since(*at) >= RATE_OVER.as_secs_f64()) {
            self.revisions.pop_front();
        }
        // A cluster that was restored, or a clock that was set back, begins anew.
        if self.revisions.back().is_some_and(|(at, r)| *at > now.0 || *r > now.1) {
            self.revisions.clear();
        }
        self.revisions.push_back(now);
        let (at, first) = *self.revisions.front()?;
        let span = since(at);
        #[allow(clippy::cast_precision_loss)] // differences are small
        let rate = (now.1.0 - first.0) as f64 / span;
        (span >= RATE_OVER.as_secs_f64()).then_some(rate)
    }
}
