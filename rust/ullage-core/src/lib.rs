//! Memory accounting for machine-learning models.
//!
//! ```text
//!  model ──► footprint ──► fit            estimated   what a model needs, where it fits
//!                │
//!                ├───────► pack                       which model goes where, and what is proven of it
//!                ├───────► arena                      which buffer lies where in one block of memory
//!                ▼
//!              pool ─────► ledger         booked      before a load starts, until its release is seen
//! ```
//!
//! The world has models, devices and one machine that hosts them. Bytes are *estimated* ([`footprint`]), *booked*
//! ([`ledger`]) and *measured* ([`machine`], by whoever drives the [`pool`], which takes the measurement as an event). The
//! crate does no I/O but reading headers ([`model`]), instances ([`pack`], [`arena`]) and counts of memory ([`machine`])
//! and mapping the file of a shared ledger ([`ledger::shared`]) or of weights ([`store`], which also writes them), reads no
//! clock but there, in the solvers and for how old those counts are, and starts no thread but to encode and decode weights.
//!
//! - [`units`], [`error`]: quantities and failures, every failure with its numbers as fields;
//! - [`model`]: what a model is, from its headers;
//! - [`codec`]: what its weights take in another scheme;
//! - [`footprint`]: what it needs, part by part, in which runtime, and whether that fits a device;
//! - [`solving`]: how long solvers may work, and what is proven of their answers;
//! - [`pack`]: which item goes into which bin;
//! - [`placement`]: which model goes onto which of unlike devices, under rules;
//! - [`split`]: which layers of one model go to which device, and how fast it is then;
//! - [`arena`]: which buffer lies at which offset of one block of memory;
//! - [`ledger`]: accounts, limits and reservations;
//! - [`jit`]: what decoding weights late costs, simulated, calibrated and executed;
//! - [`machine`]: what is really used, read from files that stay open;
//! - [`store`]: compressed model files, whose tensors are decoded when they are asked for;
//! - [`pool`]: the scheduler that keeps models in memory under a limit;
//! - [`replay`]: what the scheduler would have done with a trace of requests, and what nobody could have done better.
//!
//! ```
//! use ullage_core::footprint::{Availability, Device, KvDtype, Policy, Workload, estimate, fit};
//! use ullage_core::pool::{Action, Event, Place, PlaceId, Pool, Registration, RequestId, policy};
//! use ullage_core::{Bytes, Ledger, Model, Time};
//!
//! let model = Model::of_size("llama", "3GB".parse()?)?;
//! let workload = Workload::new(&model, Some(4096), 1, KvDtype::F16)?;
//! let runtime = Policy::of("llama.cpp")?;
//! let needs = estimate(&model, &workload, runtime)?;
//!
//! let available = Availability::exact("8GB".parse()?);
//! let device = Device {
//!     name: "gpu".to_owned(),
//!     memory: "8GiB".parse()?,
//!     available,
//!     raised: None,
//!     is_discrete: true,
//! };
//! assert_eq!(fit(&model, &workload, runtime, &device)?.answer.name(), "yes");
//!
//! let ledger = Ledger::new(Some(available.lo));
//! let mut pool = Pool::new(ledger.account("gpu", None)?, policy::by_name("lru")?);
//! let place = Place::new(needs.total.hi, "64MiB".parse::<Bytes>()?);
//! let llama = pool.register(Registration { estimated: needs.total.best, ..Registration::new("llama", place) })?;
//! let request = RequestId(1);
//! let asked = Event::Request { request, model: llama, deadline: None, priority: 0, workspace: None };
//! let actions = pool.handle(Time::ZERO, asked)?;
//! assert!(actions.contains(&Action::Load { model: llama, place: PlaceId::FIRST }));
//! assert!(ledger.root().used() > needs.total.hi, "booked before the load, with the first lease's workspace");
//! let actions = pool.handle(Time::ZERO, Event::Loaded { model: llama, place: PlaceId::FIRST })?;
//! assert_eq!(actions, [Action::Grant { request, model: llama, place: PlaceId::FIRST }]);
//! # Ok::<(), ullage_core::Error>(())
//! ```

pub mod arena;
pub mod codec;
pub mod error;
pub mod footprint;
pub mod jit;
pub mod ledger;
pub mod machine;
pub mod model;
pub mod pack;
pub mod placement;
pub mod pool;
pub mod replay;
pub mod solving;
pub mod split;
pub mod store;
mod sync;
mod table;
pub mod units;

pub use codec::Scheme;
pub use error::{Error, Holder, Refusal, Result};
pub use footprint::{Device, Footprint, Interval, Workload};
pub use ledger::{Account, Ledger, Reservation};
pub use model::Model;
pub use units::{Bytes, Time};
