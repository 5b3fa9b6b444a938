//! A web server is killed under load.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use lb_test_lab::{Daemon, Lab, Process, Settings, Tools, nginx_kept_alive};
use lb_test_netns::{WEB, web_config};
use nix::sys::signal::Signal;

const PATIENCE: Duration = Duration::from_secs(10);
const SERVERS: usize = 4;
/// The one that dies.
const VICTIM: usize = 2;

/// A connection that stays, and the server that it is with.
struct Kept {
    stream: BufReader<TcpStream>,
    server: String,
}

impl Kept {
    fn open(lab: &Lab) -> io::Result<Self> {
        let to = SocketAddr::new(WEB.into(), 80);
        let stream = lab.client.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut kept = Self { stream: BufReader::new(stream), server: String::new() };
        kept.server = kept.ask()?;
        Ok(kept)
    }

    /// The answer's body, which is the server's name.
    fn ask(&mut self) -> io::Result<String> {
        self.stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    }
}

fn config(mode: &str) -> String {
    web_config(mode, &[], 1..=SERVERS)
}

fn kill_one(mode: &str) {
    let vips = [IpAddr::from(WEB)];
    let settings = Settings { prefix: "lb-test", backends: SERVERS, vips: &vips, behind: false };
    let lab = Lab::new(&settings, &Tools::from_env().unwrap()).unwrap();
    let start = |host| Some(nginx_kept_alive(&lab, host).unwrap());
    let mut servers: Vec<Option<Process>> = lab.backends.iter().map(start).collect();
    let daemon = Daemon::start(&lab, &config(mode)).unwrap();
    let victim = format!("web-{VICTIM}");
    let kept = (0..40).map(|_| Kept::open(&lab).expect("all serve"));
    let (lost, mut alive): (Vec<_>, Vec<_>) = kept.partition(|one| one.server == victim);
    assert!(!lost.is_empty() && !alive.is_empty());

    let mut command = lab.client.command("wrk");
    command.args(["--threads", "1", "--connections", "16", "--duration", "600s"]);
    command.arg(format!("http://{WEB}/"));
    let load = Process::spawn(&mut command, &lab.file("wrk.log")).unwrap();
    servers[VICTIM - 1].take().expect("it runs").stop(Signal::SIGKILL).unwrap();
    daemon
        .wait_for("it is out", |stats| {
            stats.state("web", &victim) == "dead" && stats.share("web", &victim) == 0.0
        })
        .unwrap();
    for _ in 0..60 {
        let new = Kept::open(&lab).expect("the others serve");
        assert_ne!(new.server, victim);
    }
    for one in &mut alive {
        let answer = one.ask().expect("its server lives");
        assert_eq!(answer, one.server);
    }
    for mut one in lost {
        let error = one.ask().expect_err("its server is dead").kind();
        let ended = [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::UnexpectedEof,
        ];
        assert!(ended.contains(&error), "{error:?}: a client was left waiting");
    }
    load.stop(Signal::SIGINT).unwrap();
}

/// Claims: once a killed server is found dead, new connections go to the others, which
/// keep theirs; its own end at once instead of waiting for an answer.
#[test]
fn a_killed_server_takes_only_its_own_connections_along_in_dsr() {
    kill_one("dsr");
}

/// The same, translated.
#[test]
fn a_killed_server_takes_only_its_own_connections_along_in_nat() {
    kill_one("nat");
}
