//! Packets lost after the XDP program's verdict, from drivers' counters.
//!
//! A verdict of TX or REDIRECT is a wish: the transmit ring may be full, the
//! egress unable. The program never learns of it; some drivers count it, each
//! under names of its own. Counters of dropped packets as such
//! (`rx_queue_0_xdp_drops`) count the DROP verdict and are no losses.

use std::collections::BTreeMap;

/// Counters that mean such a loss, `#` standing for a queue's number, and the
/// drivers that have them. Where a driver counts per queue and in total, the
/// totals are listed.
const LOSSES: &[(&str, &str)] = &[
    ("rx_queue_#_xdp_tx_errors", "veth: verdict TX"),
    ("rx_queue_#_drops", "veth: verdict REDIRECT that could not be carried out"),
    ("tx_queue_#_xdp_xmit_errors", "veth: redirected to it"),
    ("tx_queue_#_xdp_tx_drops", "virtio_net: verdict TX, and redirected to it"),
    ("rx_xdp_tx_full", "mlx5, mlx4: verdict TX, ring full"),
    ("rx_xdp_tx_err", "mlx5: verdict TX, completed with an error"),
    ("tx_xdp_full", "mlx5: redirected to it, ring full"),
    ("tx_xdp_err", "mlx5: redirected to it, completed with an error"),
    ("rx_xdp_redirect_fail", "mlx4: verdict REDIRECT"),
    ("queue_#_rx_xdp_aborted", "ena: verdicts TX and REDIRECT that could not be carried out"),
    ("queue_#_xdp_tx_prepare_ctx_err", "ena: both, refused by the transmit queue"),
    ("queue_#_xdp_tx_dma_mapping_err", "ena: both, not mapped for the device"),
    ("rx_xdp_bad_drops", "sfc: verdicts TX and REDIRECT that could not be carried out"),
    ("rx_xdp_tx_errors", "mvneta, mvpp2, fec: verdict TX"),
    ("tx_xdp_xmit_errors", "mvneta, mvpp2, fec: redirected to it"),
    ("rx_xdp_tx_errors[#]", "gve: verdict TX"),
    ("rx_xdp_redirect_errors[#]", "gve: verdict REDIRECT"),
    ("rx_xdp_alloc_fails[#]", "gve: both, no frame to copy into"),
    ("tx_xdp_xmit_errors[#]", "gve: redirected to it"),
    ("[drv] xdp tx errors", "dpaa2: verdict TX"),
];

/// Sums the counters that mean a packet lost after the verdict. None where
/// the driver has none of them (ixgbe, i40e, ice, igb, bnxt, …): such losses
/// are then visible only in the `xdp:*` tracepoints.
pub fn xdp_losses(counters: &BTreeMap<String, u64>) -> Option<u64> {
    let losses = counters.iter().filter(|(name, _)| is_loss(name));
    losses.map(|(_, value)| *value).reduce(u64::wrapping_add)
}

fn is_loss(name: &str) -> bool {
    let name = without_numbers(name);
    LOSSES.iter().any(|(pattern, _)| *pattern == name)
}

/// Replaces each run of digits by `#`.
fn without_numbers(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    for character in name.chars() {
        if !character.is_ascii_digit() {
            result.push(character);
        } else if !result.ends_with('#') {
            result.push('#');
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    }

    #[test]
    fn losses_are_summed_over_queues_and_verdicts_are_not_losses() {
        let veth = counters(&[
            ("peer_ifindex", 4),
            ("rx_queue_0_xdp_packets", 1000),
            ("rx_queue_0_drops", 7),
            ("rx_queue_0_xdp_drops", 500),
            ("rx_queue_0_xdp_tx", 400),
            ("rx_queue_0_xdp_tx_errors", 3),
            ("rx_queue_12_xdp_tx_errors", 20),
            ("tx_queue_0_xdp_xmit", 90),
            ("tx_queue_0_xdp_xmit_errors", 100),
        ]);
        assert_eq!(xdp_losses(&veth), Some(130));
    }

    #[test]
    fn totals_are_not_counted_twice() {
        let mlx5 = counters(&[
            ("rx_xdp_drop", 9),
            ("rx_xdp_redirect", 9),
            ("rx_xdp_tx_full", 5),
            ("rx0_xdp_tx_full", 2),
            ("rx1_xdp_tx_full", 3),
            ("tx_xdp_err", 1),
            ("tx0_xdp_err", 1),
        ]);
        assert_eq!(xdp_losses(&mlx5), Some(6));
    }

    #[test]
    fn a_driver_that_does_not_count_them_is_not_one_without_losses() {
        assert_eq!(xdp_losses(&counters(&[("rx_packets", 1), ("tx_restart_queue", 2)])), None);
        assert_eq!(xdp_losses(&counters(&[("rx_queue_0_xdp_tx_errors", 0)])), Some(0));
    }
}
