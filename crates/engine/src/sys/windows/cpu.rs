//! Processor groups, and a thread's time. A processor's number counts through the groups in their order.

use std::io;
use std::time::Duration;

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::SystemInformation::GROUP_AFFINITY;
use windows_sys::Win32::System::Threading::{
    GetActiveProcessorCount, GetActiveProcessorGroupCount, GetCurrentThread, GetThreadGroupAffinity,
    GetThreadTimes, SetThreadGroupAffinity,
};

use super::check_bool;

pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mut here = GROUP_AFFINITY::default();
    // SAFETY: the handle means the calling thread; the affinity is a local.
    check_bool(unsafe { GetThreadGroupAffinity(GetCurrentThread(), &raw mut here) })?;
    let groups: Vec<Group> = Group::all().collect();
    // A thread that was not restricted may use its whole group. It may then move to the other groups too.
    let restricted = |group: &Group| group.number == here.Group && here.Mask != group.mask();
    let chosen = groups.iter().find(|group| restricted(group));
    Ok(match chosen {
        Some(group) => {
            (0..group.size).filter(|bit| here.Mask >> bit & 1 == 1).map(|bit| group.first + bit).collect()
        }
        None => groups.iter().flat_map(|group| group.first..group.first + group.size).collect(),
    })
}

pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    let group = Group::all()
        .find(|group| (group.first..group.first + group.size).contains(&cpu))
        .ok_or(io::ErrorKind::InvalidInput)?;
    let mask = 1 << (cpu - group.first);
    let affinity = GROUP_AFFINITY { Mask: mask, Group: group.number, Reserved: [0; 3] };
    // SAFETY: the handle means the calling thread; the affinity is a local, and the old one is not asked for.
    check_bool(unsafe {
        SetThreadGroupAffinity(GetCurrentThread(), &raw const affinity, std::ptr::null_mut())
    })
}

/// Waits already end at their deadlines: the port's timer is of high resolution where there is one.
pub(crate) fn wake_on_time() {}

pub(crate) fn thread_time() -> Option<Duration> {
    let mut times = [FILETIME::default(); 4];
    let [created, ended, kernel, user] = &mut times;
    // SAFETY: the handle means the calling thread; the four times are parts of a local.
    let told = unsafe {
        GetThreadTimes(
            GetCurrentThread(),
            &raw mut *created,
            &raw mut *ended,
            &raw mut *kernel,
            &raw mut *user,
        )
    };
    check_bool(told).ok()?;
    // In units of 100 ns.
    let units = |time: &FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    Some(Duration::from_nanos((units(&times[2]) + units(&times[3])).saturating_mul(100)))
}

/// Up to 64 processors that share a mask.
#[derive(Clone, Copy, Debug)]
struct Group {
    number: u16,
    /// The number of its first processor.
    first: usize,
    size: usize,
}

impl Group {
    /// The groups of the system, in order.
    fn all() -> impl Iterator<Item = Self> {
        // SAFETY: takes no argument.
        let count = unsafe { GetActiveProcessorGroupCount() };
        let mut first = 0;
        (0..count).map(move |number| {
            // SAFETY: takes a number.
            let size = unsafe { GetActiveProcessorCount(number) } as usize;
            let group = Self { number, first, size };
            first += size;
            group
        })
    }

    fn mask(&self) -> usize {
        if self.size >= usize::BITS as usize { usize::MAX } else { (1 << self.size) - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_a_bit_for_each_processor() {
        let group = |size| Group { number: 0, first: 0, size };
        assert_eq!(group(1).mask(), 1);
        assert_eq!(group(6).mask(), 0b11_1111);
        assert_eq!(group(64).mask(), usize::MAX);
    }

    #[test]
    fn the_numbers_of_all_groups_are_all_processors() {
        let sizes: usize = Group::all().map(|group| group.size).sum();
        assert_eq!(Group::all().last().map(|group| group.first + group.size), Some(sizes));
        assert!(allowed_cpus().expect("the system tells").iter().all(|&cpu| cpu < sizes));
    }
}
