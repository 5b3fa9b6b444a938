//! The object loads, and what is not for a VIP passes.
use lb_test_support::kernel::{Kernel, action};

#[test]
fn a_frame_for_nobody_passes_untouched() {
    let mut kernel = Kernel::load();
    let frame = [0x42u8; 64];
    let outcome = kernel.run(&frame);
    assert_eq!((outcome.action, &outcome.packet[..]), (action::PASS, &frame[..]));
    assert_eq!(kernel.totals().passed, kernel.totals().received);
}
