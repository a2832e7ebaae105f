//! What a source that lies, or who speaks in its name, cannot bring about.

use campanile_pgm::wire::DataKind;

use crate::rig::{ReceiverRig, apdus};
use crate::world::Told;

#[test]
fn a_window_far_behind_does_not_reach_around_the_circle() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    // The lead is as far behind as a number can be, and the trail beyond that.
    let lead = 2_u32.wrapping_sub((1 << 31) - 1);
    rig.spm(lead.wrapping_sub(10), lead);
    assert_eq!(rig.told(), [], "nothing is lost");
    rig.data(DataKind::Repair, 1, 0, b"1");
    assert_eq!(rig.told(), [Told::Message(b"1".to_vec()), Told::Message(b"2".to_vec())]);
}

#[test]
fn leads_that_fall_and_fall_do_not_move_the_session() {
    let mut rig = ReceiverRig::synchronised(apdus());
    for fall in 1..4_u32 {
        let first = fall.wrapping_mul(3 << 29).wrapping_neg();
        rig.spm(first, first.wrapping_sub(1));
    }
    rig.odata(0, b"0");
    assert_eq!(rig.told(), [Told::Message(b"0".to_vec())]);
}
