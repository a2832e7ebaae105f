//! The body of the fuzz target `capture`, called by tests over its corpus too.

use super::{Capture, Classifier, Datagram, FRAME_MAX};

/// Reads `input` as a capture file, classifies every frame, and checks that no more is read than the file holds.
///
/// # Panics
/// When reading panics, or gives more than was there.
pub fn capture(input: &[u8]) {
    let Ok(mut capture) = Capture::open(input) else { return };
    let mut classifier = Classifier::new(&[5555]);
    let mut held = 0;
    while let Ok(Some(frame)) = capture.next_frame() {
        assert!(frame.bytes.len() <= FRAME_MAX);
        held += frame.bytes.len();
        assert!(held <= input.len(), "a frame is made of bytes of the file");
        let Some(datagram) = Datagram::of_frame(&frame) else { continue };
        assert!(datagram.payload.len() <= frame.bytes.len());
        assert_ne!(datagram.to_string(), "");
        let mut len = 0;
        for datagram in datagram.train() {
            len += datagram.payload.len();
            match classifier.classify(&datagram) {
                Some(Ok(packet)) => assert_ne!(packet.to_string(), ""),
                Some(Err(flaw)) => assert_ne!(flaw.to_string(), ""),
                None => {}
            }
        }
        assert_eq!(len, datagram.payload.len(), "a train is all of what it was cut from");
    }
}
