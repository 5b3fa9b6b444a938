//! The table of translated flows.

use std::net::{IpAddr, SocketAddr};

use super::{
    View,
    style::Style,
    table::{Align, Cell, Column, lay_out},
    units::{age, short_count},
};
use crate::nat::FlowReport;

const COLUMNS: [Column; 11] = [
    Column { title: "SERVICE", align: Align::Left, rank: 2 },
    Column { title: "PROTO", align: Align::Left, rank: 5 },
    Column { title: "CLIENT", align: Align::Left, rank: 0 },
    Column { title: "VIP", align: Align::Left, rank: 4 },
    Column { title: "SOURCE", align: Align::Left, rank: 0 },
    Column { title: "STATE", align: Align::Left, rank: 0 },
    Column { title: "AGE", align: Align::Right, rank: 3 },
    Column { title: "IDLE", align: Align::Right, rank: 3 },
    Column { title: "BYTES", align: Align::Right, rank: 6 },
    Column { title: "REPLY", align: Align::Right, rank: 6 },
    Column { title: "BACKEND", align: Align::Left, rank: 0 },
];

pub fn table(flows: &[FlowReport], view: &View) -> String {
    if flows.is_empty() {
        return String::new();
    }
    lay_out(&COLUMNS, &flows.iter().map(row).collect::<Vec<_>>(), view)
}

fn row(flow: &FlowReport) -> Vec<Cell> {
    let ends = &flow.ends;
    let time = |seconds: f64| age(seconds as u64);
    let backend = socket(&ends.backend_address, ends.backend_port);
    vec![
        ends.service.as_str().into(),
        ends.protocol.as_str().into(),
        socket(&ends.client, ends.client_port).into(),
        socket(&ends.vip, ends.vip_port).into(),
        socket(&ends.snat, ends.snat_port).into(),
        Cell { text: flow.state.clone(), style: style(&flow.state) },
        flow.age.map_or("-".into(), time).into(),
        time(flow.idle).into(),
        flow.bytes.map_or("-".into(), short_count).into(),
        short_count(flow.reply_bytes).into(),
        format!("{backend} {}", ends.backend).trim_end().into(),
    ]
}

fn style(state: &str) -> Style {
    match state {
        "established" | "udp" => Style::Good,
        "closed" | "backend_closed" | "reset" | "udp_done" => Style::Faint,
        _ => Style::Plain,
    }
}

fn socket(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_) => format!("{address}:{port}"),
    }
}
