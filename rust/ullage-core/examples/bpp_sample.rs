//! Solves instance files of BPPLIB, one line each and one a family: how many are proven, and how long that takes.
//!
//! `cargo run --release --example bpp_sample -- SECONDS FILE...`; the family of a file is the folder that it is in.

#![allow(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ullage_core::pack::{BinKind, Limits, Plan, Problem, Status, Strategy, read_instance, solve, validate};
use ullage_core::{Bytes, Error};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let limit = Duration::try_from_secs_f64(arguments.next().ok_or("SECONDS FILE... are needed")?.parse()?)?;
    let mut families: BTreeMap<String, Vec<(bool, f64)>> = BTreeMap::new();
    println!("family,instance,items,bins,bound,status,seconds");
    for argument in arguments {
        let path = Path::new(&argument);
        let family =
            path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let instance = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (plan, seconds) = measured(path, limit)?;
        let Plan { bins_used, lower_bound, status, .. } = plan;
        let items = plan.assignment.len();
        println!("{family},{instance},{items},{bins_used},{lower_bound},{status},{seconds:.3}");
        families.entry(family).or_default().push((status == Status::Optimal, seconds));
    }
    println!("\nfamily,instances,proven,median seconds,longest");
    for (family, mut runs) in families {
        runs.sort_by(|a, b| a.1.total_cmp(&b.1));
        let proven = runs.iter().filter(|run| run.0).count();
        let (middle, last) = (runs[runs.len() / 2].1, runs[runs.len().saturating_sub(1)].1);
        println!("{family},{},{proven},{middle:.3},{last:.3}", runs.len());
    }
    Ok(())
}

fn measured(path: &Path, limit: Duration) -> Result<(Plan, f64), Error> {
    let instance = read_instance(path)?;
    let capacity = instance.capacity.unwrap_or(Bytes::ZERO);
    let bins = BinKind { name: "bin".to_owned(), capacity, count: None };
    let problem = Problem::from_sizes(instance.sizes, vec![bins])?;
    let limits = Limits { time: Some(limit), ..Limits::default() };
    let started = Instant::now();
    let plan = solve(&problem, Strategy::Exact, 0, &limits);
    let seconds = started.elapsed().as_secs_f64();
    validate(&problem, &plan)?;
    Ok((plan, seconds))
}
