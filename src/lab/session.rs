//! A scenario that runs: the cluster, the hand that touches it, and the coach, each in a task of its own, so that the coach
//! goes on watching while something is being done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use super::act::{Act, Cast};
use super::cluster::LabError;
use super::coach::{Around, Coach};
use super::consumer::Consumer;
use super::host::{self, Host};
use super::pulse::Felt;
use super::scenario::Scenario;
use crate::etcd::Access;
use crate::model::coach::{CoachView, WatcherView};
use crate::model::hashes::Comparison;
use crate::model::{ClusterView, Endpoint};

/// What to run.
#[derive(Clone, Debug)]
pub struct Drill {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// It is not told which one it is.
    pub mystery: bool,
    /// Who plays which part follows from this.
    pub seed: u64,
    /// `3.6`; none: the newest on this machine.
    pub version: Option<String>,
    /// The program that becomes the members, see `process`: etcdtop itself. None: etcd is started directly.
    pub launcher: Option<PathBuf>,
}

/// What is told to a running scenario.
#[derive(Debug)]
enum Wish {
    Follow(watch::Receiver<Arc<ClusterView>>),
    Compared(Comparison),
    Hint,
    Act(usize),
}

/// Acts that are over.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// How many.
    pub count: usize,
    /// Why the last one was refused; none: it was not.
    pub refused: Option<String>,
}

/// What the hand tells.
#[derive(Debug)]
enum Told {
    Caused(Result<(), String>),
    Done(Act, Result<String, String>),
}

/// A running scenario. Dropping it ends the cluster; what the scenario's members and files took is free when
/// [`Session::end`] has returned.
#[derive(Debug)]
pub struct Session {
    wishes: mpsc::UnboundedSender<Wish>,
    coach: watch::Receiver<CoachView>,
    done: watch::Receiver<Done>,
    reached: watch::Receiver<usize>,
    endpoints: Vec<Endpoint>,
    access: Access,
    version: String,
    folder: PathBuf,
    acts: Vec<Act>,
    cast: Cast,
    tasks: [JoinHandle<()>; 2],
    anew: AtomicBool,
}

/// Where snapshots of a lab go: what can be restored from.
#[must_use]
pub fn snapshots(lab: &Path) -> PathBuf {
    lab.join("snapshots")
}

/// Where the journal of a lab goes.
#[must_use]
pub fn state(lab: &Path) -> PathBuf {
    lab.join("state")
}

impl Session {
    /// Starts the cluster, and begins to bring the symptom about.
    ///
    /// # Errors
    /// Why the cluster does not come up.
    pub async fn start(drill: &Drill) -> Result<Self, LabError> {
        let cast = Cast::draw(drill.scenario.setting.members, drill.seed);
        let setting = &drill.scenario.setting;
        let hand = Host::build(setting, drill.version.clone(), drill.launcher.clone(), cast.clone()).await?;
        let coach = Coach::new(drill.scenario, cast.clone(), drill.mystery);
        let (endpoints, access) = (hand.endpoints(), hand.access().clone());
        let (version, folder) = (hand.version().to_owned(), hand.folder().to_owned());
        let acts = coach.acts();
        let (wishes, heard) = mpsc::unbounded_channel();
        let (orders, ordered) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let shown = watch::Sender::new(coach.told());
        let seen = shown.subscribe();
        let counted = watch::Sender::new(Done::default());
        let done = counted.subscribe();
        let steps = watch::Sender::new(0);
        let reached = steps.subscribe();
        let senses = Senses {
            felt: hand.felt(),
            consumer: hand.consumer().map(Consumer::watch),
            folder: folder.clone(),
        };
        let causes = drill.scenario.causes;
        let hand = tokio::spawn(async move {
            let mut hand = hand;
            let mut outcome = Ok(());
            for cause in causes {
                outcome = hand.cause(*cause).await;
                if outcome.is_err() {
                    break;
                }
            }
            let _ = tell.send(Told::Caused(outcome));
            let mut ordered: mpsc::UnboundedReceiver<Act> = ordered;
            while let Some(act) = ordered.recv().await {
                let outcome = hand.act(act).await;
                let _ = tell.send(Told::Done(act, outcome));
            }
        });
        let watching = tokio::spawn(watch_over(
            coach,
            heard,
            told,
            orders,
            senses,
            Shown { coach: shown, done: counted, reached: steps },
        ));
        Ok(Self {
            wishes,
            coach: seen,
            done,
            reached,
            endpoints,
            access,
            version,
            folder,
            acts,
            cast,
            tasks: [watching, hand],
            anew: AtomicBool::new(false),
        })
    }

    /// Where clients find the members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.clone()
    }

    /// How to reach them.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// The release of etcd that runs.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The lab's folder: it goes with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins anew: whoever runs it is told by [`Self::wants_anew`].
    pub fn anew(&self) {
        self.anew.store(true, Ordering::Relaxed);
    }

    /// Whether it is to begin anew.
    #[must_use]
    pub fn wants_anew(&self) -> bool {
        self.anew.load(Ordering::Relaxed)
    }

    /// Who plays which part.
    #[must_use]
    pub const fn cast(&self) -> &Cast {
        &self.cast
    }

    /// What can be chosen, in the order of [`CoachView::choices`].
    #[must_use]
    pub fn acts(&self) -> &[Act] {
        &self.acts
    }

    /// What the coach says; the newest wins.
    #[must_use]
    pub fn coach(&self) -> watch::Receiver<CoachView> {
        self.coach.clone()
    }

    /// Acts that are over, done or refused.
    #[must_use]
    pub fn done(&self) -> watch::Receiver<Done> {
        self.done.clone()
    }

    /// How many steps' goals were reached, also where the coach does not tell.
    #[must_use]
    pub fn reached(&self) -> watch::Receiver<usize> {
        self.reached.clone()
    }

    /// Lets the coach see what a poll sees, from now on.
    pub fn follow(&self, views: watch::Receiver<Arc<ClusterView>>) {
        self.wish(Wish::Follow(views));
    }

    /// Shows the coach a comparison of the members' data.
    pub fn compared(&self, comparison: Comparison) {
        self.wish(Wish::Compared(comparison));
    }

    /// Asks for a hint.
    pub fn hint(&self) {
        self.wish(Wish::Hint);
    }

    /// Does what was chosen: an index into [`CoachView::choices`].
    pub fn act(&self, choice: usize) {
        self.wish(Wish::Act(choice));
    }

    fn wish(&self, wish: Wish) {
        // Nobody hears it once the scenario has ended.
        let _ = self.wishes.send(wish);
    }

    /// Ends the cluster and removes everything; returns when that is done.
    pub async fn end(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // It was told to stop.
            let _ = task.await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Where the coach looks besides at the members.
struct Senses {
    felt: Option<watch::Receiver<Felt>>,
    consumer: Option<watch::Receiver<WatcherView>>,
    folder: PathBuf,
}

impl Senses {
    async fn around(&self) -> Around {
        let folder = self.folder.clone();
        Around {
            felt: self.felt.as_ref().map(|f| f.borrow().clone()).unwrap_or_default(),
            consumer: self.consumer.as_ref().map(|c| c.borrow().clone()),
            // A disk that is slow holds nobody up.
            kept: spawn_blocking(move || host::kept(&folder)).await.unwrap_or_default(),
        }
    }
}

/// Where it is told what the coach says.
struct Shown {
    coach: watch::Sender<CoachView>,
    done: watch::Sender<Done>,
    reached: watch::Sender<usize>,
}

async fn watch_over(
    mut coach: Coach,
    mut wished: mpsc::UnboundedReceiver<Wish>,
    mut told: mpsc::UnboundedReceiver<Told>,
    orders: mpsc::UnboundedSender<Act>,
    senses: Senses,
    shown: Shown,
) {
    let mut busy = false;
    let mut views: Option<watch::Receiver<Arc<ClusterView>>> = None;
    loop {
        tokio::select! {
            Some(told) = told.recv() => match told {
                Told::Caused(Ok(())) => coach.caused(Timestamp::now()),
                Told::Caused(Err(why)) => coach.failed(&why),
                Told::Done(act, outcome) => {
                    busy = false;
                    let refused = outcome.as_ref().err().cloned();
                    coach.done(act, outcome, Timestamp::now());
                    shown.done.send_modify(|done| *done = Done { count: done.count + 1, refused });
                }
            },
            seen = next_view(&mut views) => coach.view(&seen, senses.around().await),
            wish = wished.recv() => match wish {
                None => return,
                Some(Wish::Follow(of)) => views = Some(of),
                Some(Wish::Compared(comparison)) => coach.compared(&comparison),
                Some(Wish::Hint) => coach.hint(),
                // One thing at a time, and only in the learner's turn.
                Some(Wish::Act(choice)) => if let Some(act) = coach.acts().get(choice).filter(|_| !busy && coach.runs()) {
                    busy = true;
                    coach.begins(*act, Timestamp::now());
                    // The hand lives as long as the coach.
                    let _ = orders.send(*act);
                },
            },
        }
        shown.reached.send_if_modified(|was| std::mem::replace(was, coach.reached()) != coach.reached());
        shown.coach.send_if_modified(|was| {
            let now = coach.told();
            let changed = *was != now;
            *was = now;
            changed
        });
    }
}

/// The next view; never any while nobody polls.
async fn next_view(views: &mut Option<watch::Receiver<Arc<ClusterView>>>) -> Arc<ClusterView> {
    if let Some(it) = views {
        if it.changed().await.is_ok() {
            return Arc::clone(&it.borrow_and_update());
        }
        // The poll is over.
        *views = None;
    }
    std::future::pending().await
}
