//! A capture that is piped in while it is being made.

use std::io::{self, Cursor, ErrorKind, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;

/// Standard input up to Ctrl-C. The program that captures may get the same Ctrl-C: its last output is still read.
pub(super) struct Piped {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// The unread rest of the last piece.
    rest: Cursor<Vec<u8>>,
    interrupt: Interrupt,
    /// When to stop reading, set once Ctrl-C was pressed.
    end: Option<Instant>,
}

impl Piped {
    /// Reads in a thread of its own, since a blocking read cannot be interrupted.
    pub(super) fn start(interrupt: Interrupt) -> io::Result<Self> {
        let (sender, pieces) = sync_channel(PIECES);
        thread::Builder::new().spawn(move || read(&sender))?;
        Ok(Self { pieces, rest: Cursor::default(), interrupt, end: None })
    }
}

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.rest.read(buffer)?;
            if len > 0 || buffer.is_empty() {
                return Ok(len);
            }
            let is_pressed = self.interrupt.is_pressed();
            if is_pressed && Instant::now() > *self.end.get_or_insert_with(|| Instant::now() + LAST) {
                return Ok(0);
            }
            match self.pieces.recv_timeout(TICK) {
                Ok(piece) => self.rest = Cursor::new(piece?),
                Err(RecvTimeoutError::Timeout) if !is_pressed => {}
                Err(_) => return Ok(0),
            }
        }
    }
}

/// Passes standard input on, up to its end or until the receiver is gone.
fn read(pieces: &SyncSender<io::Result<Vec<u8>>>) {
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; PIECE];
    loop {
        let piece = match input.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map(|len| buffer[..len].to_vec()),
        };
        let is_error = piece.is_err();
        if pieces.send(piece).is_err() || is_error {
            return;
        }
    }
}

/// How many bytes are read at a time.
const PIECE: usize = 64 << 10;
/// How many pieces may wait.
const PIECES: usize = 16;

/// How often Ctrl-C is checked; and after Ctrl-C, the pause in the input that ends it.
const TICK: Duration = Duration::from_millis(100);

/// How long input without a pause is still read after Ctrl-C.
const LAST: Duration = Duration::from_secs(1);
