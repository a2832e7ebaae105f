//! Worker threads: one per core, each with an engine of its own.
//!
//! [`Workers`] starts, stops and joins them. Each worker is pinned to its processor and named after it, publishes its
//! counters on a [`Board`] that it alone writes, and is stopped through its engine's waker. A worker that fails or panics stops the
//! others too: a run never goes on without one of them.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use campanile_engine::udp::UdpSocket;
use campanile_engine::{Capabilities, Choice, Config, Engine, Fallback, SocketId, Waker, cpu};

/// The threads of one run. Dropping it stops and joins them.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<(usize, JoinHandle<Result<(), Failing>>)>,
    stopper: Stopper,
    /// One message for each thread that ended.
    ends: Receiver<()>,
    running: usize,
}

/// What one worker starts with.
pub(crate) struct WorkerSpec<J> {
    /// The processor it is kept on.
    pub(crate) cpu: usize,
    /// Its sockets; the job gets their ids in this order.
    pub(crate) sockets: Vec<UdpSocket>,
    /// What it does. It returns when its engine says [`campanile_engine::Event::Stopped`], or when it is done.
    pub(crate) job: J,
}

/// What the engines of a run are and can do; they are all alike.
#[derive(Clone, Debug)]
pub(crate) struct Engines {
    pub(crate) backend: Choice,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) capabilities: Capabilities,
}

/// Stops a run from any thread. Clones stop the same run; stopping what has ended does nothing.
#[derive(Clone, Debug)]
pub struct Stopper {
    /// Set once all workers are ready.
    wakers: Arc<OnceLock<Vec<Waker>>>,
}

impl Stopper {
    /// Stops the one engine of a run without worker threads.
    pub(crate) fn of(waker: Waker) -> Self {
        Self { wakers: Arc::new(OnceLock::from(vec![waker])) }
    }

    /// Asks every worker to finish.
    pub fn stop(&self) {
        self.wakers.get().into_iter().flatten().for_each(Waker::stop);
    }
}

impl Workers {
    /// Starts a thread for each spec, and returns once each has its engine and its sockets. `role` begins the threads' names.
    ///
    /// # Errors
    /// The first thing that a worker could not do; none is left running.
    ///
    /// # Panics
    /// If `specs` is empty.
    pub(crate) fn start<J>(
        role: &str,
        config: &Config,
        specs: Vec<WorkerSpec<J>>,
    ) -> Result<(Self, Engines), WorkerError>
    where
        J: FnOnce(Engine, &[SocketId]) -> io::Result<()> + Send + 'static,
    {
        assert!(!specs.is_empty(), "a run has a worker");
        let (send_end, ends) = channel();
        let (send_ready, ready) = channel();
        let stopper = Stopper { wakers: Arc::new(OnceLock::new()) };
        let mut workers = Self { threads: Vec::new(), stopper, ends, running: 0 };
        let mut starts = Vec::new();
        for spec in specs {
            let (send_start, start) = channel();
            starts.push(send_start);
            let end = End { stopper: workers.stopper.clone(), ended: send_end.clone(), clean: false };
            let (cpu, config, send_ready) = (spec.cpu, config.clone(), send_ready.clone());
            let thread = thread::Builder::new()
                .name(format!("{role}-{cpu}"))
                .spawn(move || work(spec, &config, send_ready, &start, end))
                .map_err(|error| WorkerError { cpu, failing: Failing::Spawn(error) })?;
            workers.threads.push((cpu, thread));
            workers.running += 1;
        }
        drop(send_ready);
        let ready: Vec<Ready> = ready.iter().take(workers.running).collect();
        if ready.len() < workers.running {
            // No worker begins without the message to start. The one that failed returns the reason.
            drop(starts);
            return Err(workers.join().expect_err("a worker that was never ready has failed"));
        }
        let engines = ready[0].engines.clone();
        let wakers = ready.into_iter().map(|ready| ready.waker).collect();
        workers.stopper.wakers.set(wakers).expect("set here alone");
        starts.iter().for_each(|start| start.send(()).expect("a ready worker waits for this"));
        Ok((workers, engines))
    }

    pub(crate) fn stopper(&self) -> &Stopper {
        &self.stopper
    }

    /// Waits until all workers have ended, at most for `timeout`; returns whether they have.
    pub(crate) fn wait(&mut self, timeout: Duration) -> bool {
        let until = Instant::now().checked_add(timeout);
        while self.running > 0 {
            let left = until.map_or(timeout, |until| until.saturating_duration_since(Instant::now()));
            if self.ends.recv_timeout(left).is_err() {
                return false;
            }
            self.running -= 1;
        }
        true
    }

    /// Waits until all workers have ended.
    ///
    /// # Errors
    /// The first failure, in the order of the processors. The others were stopped because of it.
    pub(crate) fn join(mut self) -> Result<(), WorkerError> {
        self.join_all()
    }

    fn join_all(&mut self) -> Result<(), WorkerError> {
        let mut first = Ok(());
        for (cpu, thread) in self.threads.drain(..) {
            let ended = thread.join().unwrap_or(Err(Failing::Panicked));
            let ended = ended.map_err(|failing| WorkerError { cpu, failing });
            // That a worker was called off before it began follows from another failure, and is not reported.
            let is_news = !matches!(&ended, Err(WorkerError { failing: Failing::CalledOff, .. }));
            if is_news && first.is_ok() {
                first = ended;
            }
        }
        first
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stopper.stop();
        // Errors are for those who call `join`.
        let _ = self.join_all();
    }
}

/// What a worker sends to the thread that started it.
struct Ready {
    waker: Waker,
    engines: Engines,
}

/// Runs on the worker's thread.
fn work<J>(
    spec: WorkerSpec<J>,
    config: &Config,
    ready: Sender<Ready>,
    start: &Receiver<()>,
    mut end: End,
) -> Result<(), Failing>
where
    J: FnOnce(Engine, &[SocketId]) -> io::Result<()>,
{
    cpu::pin(spec.cpu).map_err(Failing::Pin)?;
    let mut engine = Engine::new(config).map_err(Failing::Engine)?;
    let sockets = spec.sockets.into_iter().map(|socket| engine.add(socket)).collect::<io::Result<Vec<_>>>();
    let sockets = sockets.map_err(Failing::Engine)?;
    let engines = Engines {
        backend: engine.backend(),
        fallback: engine.fallback().cloned(),
        capabilities: engine.capabilities(),
    };
    let told = ready.send(Ready { waker: engine.waker(), engines });
    // Once all senders are dropped, the thread that counts ready workers knows that no more will come.
    drop(ready);
    if told.is_err() || start.recv().is_err() {
        return Err(Failing::CalledOff);
    }
    (spec.job)(engine, &sockets).map_err(Failing::Run)?;
    end.clean = true;
    Ok(())
}

/// Reports the end of a worker, whatever its cause, and stops the others if it failed.
struct End {
    stopper: Stopper,
    ended: Sender<()>,
    clean: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.clean {
            self.stopper.stop();
        }
        // Nobody listens once the workers are being dropped.
        let _ = self.ended.send(());
    }
}

/// A worker that failed.
#[derive(Debug)]
pub struct WorkerError {
    cpu: usize,
    failing: Failing,
}

#[derive(Debug)]
enum Failing {
    Spawn(io::Error),
    Pin(io::Error),
    Engine(io::Error),
    Run(io::Error),
    Panicked,
    /// Another worker could not start.
    CalledOff,
}

impl WorkerError {
    /// The system's error, if that is why it failed.
    #[must_use]
    pub fn system(&self) -> Option<&io::Error> {
        match &self.failing {
            Failing::Spawn(error) | Failing::Pin(error) | Failing::Engine(error) | Failing::Run(error) => {
                Some(error)
            }
            Failing::Panicked | Failing::CalledOff => None,
        }
    }

    /// The error with which the worker's own job ended, if that is what happened.
    pub(crate) fn ended_with(&self) -> Option<&io::Error> {
        match &self.failing {
            Failing::Run(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu;
        match &self.failing {
            Failing::Spawn(error) => write!(f, "no thread for core {cpu}: {error}"),
            Failing::Pin(error) => write!(f, "a thread cannot be kept on core {cpu}: {error}"),
            Failing::Engine(error) => write!(f, "no I/O on core {cpu}: {error}"),
            Failing::Run(error) => write!(f, "the worker on core {cpu} failed: {error}"),
            Failing::Panicked => write!(f, "the worker on core {cpu} panicked"),
            Failing::CalledOff => write!(f, "the worker on core {cpu} was called off"),
        }
    }
}

impl std::error::Error for WorkerError {}

/// Counters that one thread writes and any thread reads. Words read together may be from slightly different moments; once the writer
/// has been joined they are exact.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Board<const WORDS: usize>([AtomicU64; WORDS]);

impl<const WORDS: usize> Board<WORDS> {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn publish(&self, words: [u64; WORDS]) {
        for (place, word) in self.0.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> [u64; WORDS] {
        std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_engine::Event;

    type Job = Box<dyn FnOnce(Engine, &[SocketId]) -> io::Result<()> + Send>;

    fn until_stopped(mut engine: Engine) -> io::Result<()> {
        loop {
            engine.poll(None)?;
            while let Some(event) = engine.next_event() {
                if matches!(event, Event::Stopped) {
                    return Ok(());
                }
            }
        }
    }

    fn workers(jobs: Vec<Job>) -> Result<Workers, WorkerError> {
        let cpus = cpu::allowed().expect("the system tells");
        let spec = |(index, job)| WorkerSpec { cpu: cpus[index % cpus.len()], sockets: Vec::new(), job };
        let specs = jobs.into_iter().enumerate().map(spec).collect();
        Workers::start("test", &Config::default(), specs).map(|(workers, _)| workers)
    }

    fn patient() -> Job {
        Box::new(|engine, _| until_stopped(engine))
    }

    #[test]
    fn a_stop_from_another_thread_ends_all() {
        let mut workers = workers(vec![patient(), patient()]).expect("two workers start");
        assert!(!workers.wait(Duration::ZERO));
        let stopper = workers.stopper().clone();
        thread::spawn(move || stopper.stop()).join().expect("stopping does not fail");
        assert!(workers.wait(Duration::from_secs(60)));
        assert!(workers.join().is_ok());
    }

    #[test]
    fn an_error_ends_the_whole_run_and_is_returned() {
        let failing: Job = Box::new(|_, _| Err(io::ErrorKind::NotConnected.into()));
        let mut workers = workers(vec![patient(), failing, patient()]).expect("three workers start");
        assert!(workers.wait(Duration::from_secs(60)));
        let error = workers.join().expect_err("one worker failed");
        assert_eq!(error.ended_with().map(io::Error::kind), Some(io::ErrorKind::NotConnected));
    }

    #[test]
    fn a_panic_ends_the_whole_run_and_is_returned() {
        let failing: Job = Box::new(|_, _| panic!("a test wants to see this"));
        let workers = workers(vec![failing, patient()]).expect("two workers start");
        let error = workers.join().expect_err("one worker panicked");
        assert!(error.to_string().ends_with("panicked"), "{error}");
    }

    #[test]
    fn a_worker_that_cannot_start_calls_the_others_off() {
        let cpus = cpu::allowed().expect("the system tells");
        let spec = |cpu| WorkerSpec { cpu, sockets: Vec::new(), job: patient() };
        let specs = vec![spec(cpus[0]), spec(100_000), spec(cpus[0])];
        let error = Workers::start("test", &Config::default(), specs).expect_err("no such core");
        assert!(error.to_string().starts_with("a thread cannot be kept on core 100000"), "{error}");
    }

    #[test]
    fn dropped_workers_are_gone() {
        let (send, ended) = channel();
        let job: Job = Box::new(move |engine, _| {
            let stopped = until_stopped(engine);
            send.send(()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            stopped
        });
        drop(workers(vec![job]).expect("a worker starts"));
        assert!(ended.try_recv().is_ok());
    }

    #[test]
    fn threads_are_named_and_stay_on_their_core() {
        let (send, seen) = channel();
        let job: Job = Box::new(move |_, _| {
            let name = thread::current().name().map(str::to_owned);
            let told = send.send((name, cpu::allowed()?));
            told.map_err(|_| io::ErrorKind::BrokenPipe.into())
        });
        let workers = workers(vec![job]).expect("a worker starts");
        workers.join().expect("it ends well");
        let (name, cpus) = seen.recv().expect("sent before the end");
        assert_eq!(name, Some(format!("test-{}", cpus[0])));
        assert_eq!(cpus.len(), 1);
    }

    #[test]
    fn a_board_shows_what_was_published() {
        let board = Board::new();
        board.publish([1, 2, 3]);
        assert_eq!(board.read(), [1, 2, 3]);
    }
}
