//! What ten million live reservations take, each form in a process of its own: resident memory, pages and all.
//!
//! With `LEDGER_COSTS` naming a folder, the figures are also written there, as `memory.json`.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};
use ullage_core::ledger::Account;
use ullage_core::{Bytes, Ledger};

const LIVE: u32 = 10_000_000;
/// Fills memory with one form; gives the bytes that took.
type Fill = fn(&Account) -> usize;

const FORMS: [(&str, Fill); 3] = [
    ("reservations", |account| {
        let before = resident();
        let live: Vec<_> = (0..LIVE).map(|_| account.reserve(Bytes::new(1), "block")).collect();
        let after = resident();
        assert!(black_box(&live).iter().all(Result::is_ok), "there is room for all");
        after.saturating_sub(before)
    }),
    ("a batch", |account| {
        let sizes = vec![1; LIVE as usize];
        let before = resident();
        let batch = account.reserve_many(&sizes, "block").expect("there is room for all");
        let after = resident();
        assert_eq!(black_box(batch).live(), LIVE as usize, "all are live");
        after.saturating_sub(before)
    }),
    ("8-byte numbers in a vector", |_| {
        let before = resident();
        let live: Vec<u64> = (0..u64::from(LIVE)).map(black_box).collect();
        let after = resident();
        black_box(live);
        after.saturating_sub(before)
    }),
];

/// Resident bytes of this process, as Linux tells them; 0 elsewhere.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|pages| pages.split_whitespace().nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0).saturating_mul(4096)
}

fn main() {
    if let Ok(form) = env::var("LEDGER_MEMORY_FORM") {
        let account = Ledger::new(None).account("host/gpu0/kv", None).expect("a good path");
        let (_, fill) = FORMS.iter().find(|(name, _)| *name == form).expect("a form of this bench");
        println!("{}", fill(&account));
        return;
    }
    if resident() == 0 {
        println!("no /proc/self/statm: nothing measured");
        return;
    }
    let rows: Vec<Value> = FORMS.iter().map(|(name, _)| row(name)).collect();
    if let Some(folder) = env::var_os("LEDGER_COSTS") {
        let path = Path::new(&folder).join("memory.json");
        fs::write(&path, Value::Array(rows).to_string())
            .expect("the folder of LEDGER_COSTS can be written to");
    }
}

/// Measures a form in a fresh process.
fn row(form: &str) -> Value {
    let this = env::current_exe().expect("a running program has a file");
    let output =
        Command::new(this).env("LEDGER_MEMORY_FORM", form).output().expect("this program starts again");
    let text = String::from_utf8_lossy(&output.stdout);
    let bytes: f64 = text.trim().parse().expect("the child says what it took");
    let each = bytes / f64::from(LIVE);
    println!("{LIVE} x {form:<28} {each:.1} B each");
    json!({"form": form, "live": LIVE, "bytes_each": each})
}
