//! The completion port: where the kernel leaves its packets, and the engine's wait for them.

use std::fmt;
use std::io;
use std::os::windows::io::{AsRawHandle, AsRawSocket, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::Storage::FileSystem::SetFileCompletionNotificationModes;
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED, OVERLAPPED_ENTRY,
};
use windows_sys::Win32::System::Threading::{
    CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, CreateWaitableTimerExW, INFINITE, SYNCHRONIZATION_SYNCHRONIZE,
    SetWaitableTimer, TIMER_MODIFY_STATE, WaitForMultipleObjects,
};
use windows_sys::Win32::System::WindowsProgramming::{
    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE,
};

use super::{Doorbell, check_bool, is};
use crate::operation::{Operation, Token};
use crate::slots::SocketId;
use crate::udp::UdpSocket;

/// The most packets that one call brings.
const BATCH: usize = 64;

/// A port of one engine, with the packets that the last wait brought.
pub(super) struct Port {
    handle: Arc<OwnedHandle>,
    timer: Option<Timer>,
    packets: Box<[OVERLAPPED_ENTRY; BATCH]>,
    count: usize,
}

/// What a packet is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packet {
    Doorbell,
    Operation(SocketId, *mut OVERLAPPED),
}

impl Port {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: makes a port for no file yet; one thread takes its packets.
        let handle = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, ptr::null_mut(), 0, 1) };
        check_bool(i32::from(!handle.is_null()))?;
        // SAFETY: the call above made this handle, and nothing else knows it.
        let handle = Arc::new(unsafe { OwnedHandle::from_raw_handle(handle) });
        let packets = Box::new([OVERLAPPED_ENTRY::default(); BATCH]);
        let mut port = Self { handle, timer: None, packets, count: 0 };
        if let Ok(timer) = Timer::new() {
            port.timer = port.waits_beside(&timer)?.then_some(timer);
        }
        Ok(port)
    }

    pub(super) fn doorbell(&self) -> Doorbell {
        Doorbell::new(Arc::clone(&self.handle))
    }

    /// Waits end less than a millisecond after their deadline.
    pub(super) fn is_fine(&self) -> bool {
        self.timer.is_some()
    }

    /// Directs the packets of a socket's operations to this port, except for operations that end at once.
    pub(super) fn adopt(&self, id: SocketId, socket: &UdpSocket) -> io::Result<()> {
        let file = socket.inner().as_raw_socket() as HANDLE;
        // SAFETY: both handles are open.
        let port =
            unsafe { CreateIoCompletionPort(file, self.raw(), key(Operation::Receive, id.to_bits()), 0) };
        check_bool(i32::from(!port.is_null()))?;
        let modes = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
        // SAFETY: the handle is open.
        check_bool(unsafe { SetFileCompletionNotificationModes(file, modes as u8) })
    }

    /// Takes the packets that are there.
    pub(super) fn collect(&mut self) -> io::Result<()> {
        self.dequeue(0)
    }

    /// Waits for packets, until `deadline` if there is one.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else { return self.dequeue(INFINITE) };
        loop {
            self.dequeue(0)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if self.count > 0 || left.is_zero() {
                return Ok(());
            }
            match &self.timer {
                Some(timer) => {
                    timer.set(left)?;
                    self.wait_beside(timer, milliseconds(left))?;
                }
                None => {
                    self.dequeue(milliseconds(left))?;
                    if self.count > 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// How many packets the last wait brought.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// One of them.
    pub(super) fn packet(&self, index: usize) -> Packet {
        let entry = &self.packets[..self.count][index];
        let token = Token::from_bits(entry.lpCompletionKey as u64).expect("every key is a token");
        match token.operation {
            Operation::Wake => Packet::Doorbell,
            _ => Packet::Operation(SocketId::from_bits(token.subject), entry.lpOverlapped),
        }
    }

    fn dequeue(&mut self, milliseconds: u32) -> io::Result<()> {
        let mut count = 0;
        let packets = self.packets.as_mut_ptr();
        // SAFETY: there is room for as many packets as are asked for.
        let result = check_bool(unsafe {
            GetQueuedCompletionStatusEx(self.raw(), packets, BATCH as u32, &raw mut count, milliseconds, 0)
        });
        // After a failure, and a timeout is one, the count means nothing.
        self.count = if result.is_ok() { count as usize } else { 0 };
        result.or_else(|error| if is(&error, WAIT_TIMEOUT) { Ok(()) } else { Err(error) })
    }

    /// Waits until a packet is there, the timer has ended or the time is up; returns whether it was a packet.
    fn wait_beside(&self, timer: &Timer, milliseconds: u32) -> io::Result<bool> {
        let both = [self.raw(), timer.handle.as_raw_handle()];
        // SAFETY: two open handles in an array of two.
        let result = unsafe { WaitForMultipleObjects(both.len() as u32, both.as_ptr(), 0, milliseconds) };
        match result {
            WAIT_OBJECT_0 => Ok(true),
            _ if result == WAIT_OBJECT_0 + 1 || result == WAIT_TIMEOUT => Ok(false),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Tries whether a thread can wait for the port and a timer at once: it can wait for a port, but that is not documented.
    fn waits_beside(&mut self, timer: &Timer) -> io::Result<bool> {
        const LONG: Duration = Duration::from_secs(1);
        timer.set(LONG)?;
        self.doorbell().ring();
        let heard = self.wait_beside(timer, milliseconds(LONG)).unwrap_or(false);
        self.dequeue(0)?;
        let came = self.count == 1;
        timer.set(Duration::from_nanos(100))?;
        let start = Instant::now();
        let silent = self.wait_beside(timer, milliseconds(LONG)).is_ok_and(|packet| !packet);
        self.count = 0;
        Ok(heard && came && silent && start.elapsed() < LONG / 2)
    }

    fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }
}

/// The key of a packet: from the doorbell, or of any operation on a socket.
pub(super) const fn key(operation: Operation, subject: u32) -> usize {
    const { assert!(usize::BITS >= 64, "a key holds a token") };
    Token { operation, subject }.to_bits() as usize
}

/// Rounded up: a wait that ends early would turn into a spin.
fn milliseconds(wait: Duration) -> u32 {
    wait.as_nanos().div_ceil(1_000_000).min(u128::from(INFINITE - 1)) as u32
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("timer", &self.timer).field("count", &self.count).finish_non_exhaustive()
    }
}

/// A timer finer than the system's tick (Windows 10 1803).
#[derive(Debug)]
struct Timer {
    handle: OwnedHandle,
}

impl Timer {
    fn new() -> io::Result<Self> {
        let access = TIMER_MODIFY_STATE | SYNCHRONIZATION_SYNCHRONIZE;
        // SAFETY: neither attributes nor a name are given.
        let handle = unsafe {
            CreateWaitableTimerExW(ptr::null(), ptr::null(), CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, access)
        };
        check_bool(i32::from(!handle.is_null()))?;
        // SAFETY: the call above made this handle, and nothing else knows it.
        Ok(Self { handle: unsafe { OwnedHandle::from_raw_handle(handle) } })
    }

    /// Sets it to end once after `wait`, whatever it was set to before.
    fn set(&self, wait: Duration) -> io::Result<()> {
        let ticks = wait.as_nanos().div_ceil(100).min(i64::MAX as u128) as i64;
        // Negative: from now on.
        let due = -ticks;
        // SAFETY: the handle is open; `due` is read during the call; there is no routine to be called.
        check_bool(unsafe {
            SetWaitableTimer(self.handle.as_raw_handle(), &raw const due, 0, None, ptr::null(), 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_to_milliseconds() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::MAX), INFINITE - 1);
    }

    #[test]
    fn a_packet_ends_a_wait_with_a_deadline() {
        let mut port = Port::new().expect("a port");
        let doorbell = port.doorbell();
        let other = std::thread::spawn(move || doorbell.ring());
        let start = Instant::now();
        port.wait(Some(start + Duration::from_secs(600))).expect("waits");
        assert_eq!(port.count(), 1);
        assert!(matches!(port.packet(0), Packet::Doorbell));
        assert!(start.elapsed() < Duration::from_secs(300));
        other.join().expect("it only rang");
    }

    #[test]
    fn a_wait_without_packets_brings_none() {
        let mut port = Port::new().expect("a port");
        port.doorbell().ring();
        port.collect().expect("collects");
        assert_eq!(port.count(), 1);
        port.wait(Some(Instant::now() + Duration::from_micros(300))).expect("waits");
        assert_eq!(port.count(), 0);
    }
}
