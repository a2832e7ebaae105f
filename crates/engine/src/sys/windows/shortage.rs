//! Error numbers that mean a shortage.

use windows_sys::Win32::Foundation::{
    ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_TOO_MANY_OPEN_FILES,
};
use windows_sys::Win32::Networking::WinSock::{WSAEMFILE, WSAENOBUFS};

use crate::shortage::Shortage;

pub(crate) fn shortage(code: i32) -> Option<Shortage> {
    if [WSAEMFILE, ERROR_TOO_MANY_OPEN_FILES as i32].contains(&code) {
        return Some(Shortage::OpenFiles);
    }
    let memory = [ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_NO_SYSTEM_RESOURCES];
    let is_memory = code == WSAENOBUFS || memory.iter().any(|&memory| memory as i32 == code);
    is_memory.then_some(Shortage::Memory)
}
