//! The comparison runs, and every subject serves from all backends. Counts only: figures
//! of windows this short mean nothing.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn every_subject_does_the_job() {
    let out = Command::new(env!("CARGO_BIN_EXE_lb-compare"))
        .args(["--quick", "--json"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("the comparison starts");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}: {text}", out.status);
    let report: Value = serde_json::from_str(&text).expect("it prints JSON");

    let subjects = report["subjects"].as_array().expect("there are subjects");
    let names: Vec<&str> = subjects.iter().filter_map(|subject| subject["name"].as_str()).collect();
    assert_eq!(names, ["direct", "lb-dsr", "lb-nat", "nftables", "nginx", "haproxy"]);
    let backends = report["backends"].as_array().expect("there are backends");
    for subject in subjects {
        for kind in ["request", "connection"] {
            let series = &subject[kind];
            let context = || format!("{} {kind}: {series:#}", subject["name"]);
            for backend in backends {
                let served = &series["served"][backend.as_str().expect("backends have names")];
                assert!(served.as_u64() > Some(0), "{backend} did not serve: {}", context());
            }
            assert_eq!(series["errors"], serde_json::json!({}), "{}", context());
            for figure in ["latency_p50_us", "latency_p99_us", "saturated_per_second"] {
                let median = series[figure]["median"].as_f64();
                assert!(median.is_some_and(|median| median > 0.0), "{figure} of {}", context());
            }
        }
    }
}
