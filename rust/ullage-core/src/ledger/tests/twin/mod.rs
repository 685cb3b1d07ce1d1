//! Every operation of the ledger in lock-step with the naive one.

mod check;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bytes;
use super::model::{Form, LIMITS, Model, PATHS, QUANTA, Tally, is_below, path};
use crate::error::{Error, HandleFault};
use crate::ledger::{
    Account, Batch, Handle, Ledger, LedgerOptions, Meter, OriginPolicy, Pending, Reservation, Scope,
};

const LABELS: [&str; 4] = ["", "x", "y", "meter"];

#[derive(Clone, Debug)]
enum Step {
    Reserve { account: usize, bytes: u64, label: usize },
    Charge { account: usize, bytes: u64 },
    Resize { which: usize, bytes: u64 },
    Split { which: usize, bytes: u64 },
    Merge { which: usize, other: usize },
    Transfer { which: usize, account: usize },
    Release { which: usize },
    Limit { account: usize, limit: Option<u64> },
    Many { pairs: Vec<(usize, u64)>, is_mask: bool },
    ReleaseMany { which: Vec<usize>, fault: Option<HandleFault> },
    Queue { account: usize, bytes: u64 },
    Take { which: usize },
    Cancel { which: usize },
    Open { account: usize },
    Close { which: usize },
    Churn { account: usize, pairs: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (account, which, size) = (0..6_usize, 0..24_usize, 0..50_u64);
    let fault = prop::option::weighted(
        0.4,
        prop_oneof![Just(HandleFault::Released), Just(HandleFault::Foreign), Just(HandleFault::Unknown)],
    );
    let (a, w, s) = (account.clone(), which.clone(), size.clone());
    prop_oneof![
        6 => (account.clone(), size.clone(), 0..3_usize)
            .prop_map(|(account, bytes, label)| Step::Reserve { account, bytes, label }),
        2 => (account.clone(), size.clone()).prop_map(|(account, bytes)| Step::Charge { account, bytes }),
        4 => (which.clone(), size.clone()).prop_map(|(which, bytes)| Step::Resize { which, bytes }),
        2 => (which.clone(), size.clone()).prop_map(|(which, bytes)| Step::Split { which, bytes }),
        2 => (which.clone(), which.clone()).prop_map(|(which, other)| Step::Merge { which, other }),
        3 => (which.clone(), account.clone()).prop_map(|(which, account)| Step::Transfer { which, account }),
        6 => which.clone().prop_map(|which| Step::Release { which }),
        2 => (account.clone(), prop::option::of(0..120_u64))
            .prop_map(|(account, limit)| Step::Limit { account, limit }),
        2 => (prop::collection::vec((account.clone(), 0..25_u64), 0..5), any::<bool>())
            .prop_map(|(pairs, is_mask)| Step::Many { pairs, is_mask }),
        2 => (prop::collection::vec(which.clone(), 0..5), fault)
            .prop_map(|(which, fault)| Step::ReleaseMany { which, fault }),
        4 => (account.clone(), size).prop_map(|(account, bytes)| Step::Queue { account, bytes }),
        2 => which.clone().prop_map(|which| Step::Take { which }),
        2 => which.clone().prop_map(|which| Step::Cancel { which }),
        1 => account.prop_map(|account| Step::Open { account }),
        1 => which.prop_map(|which| Step::Close { which }),
        1 => (a, 0..800_usize).prop_map(|(account, pairs)| Step::Churn { account, pairs }),
        // Many small ones while somebody waits: the eight passes.
        3 => (w, s).prop_map(|(which, bytes)| Step::Reserve { account: which % 6, bytes: bytes % 4, label: 1 }),
    ]
}

/// What stands for a booking of the model in the ledger.
#[derive(Debug)]
enum Real {
    Owned(Reservation),
    Metered(u64),
    Handled(Handle),
}

struct OpenScope {
    account: usize,
    real: Scope,
    start: u64,
    highest: u64,
    before: Tally,
}

struct World {
    ledger: Ledger,
    foreign: Handle,
    _others: (Ledger, Batch),
    accounts: Vec<Account>,
    meters: Vec<Meter>,
    model: Model,
    real: BTreeMap<usize, Real>,
    /// Owned reservations that were released: dead for ever.
    dead: Vec<Reservation>,
    stale: Vec<Handle>,
    waits: Vec<(usize, Pending)>,
    scopes: Vec<OpenScope>,
    batches: Vec<Batch>,
    peaks: [u64; 6],
    compositions: [BTreeMap<(String, String), u64>; 6],
}

impl World {
    fn new() -> Self {
        let limit = LIMITS[0].map(bytes);
        let ledger = Ledger::with_options(LedgerOptions { limit, timeline: 1, origins: OriginPolicy::Off });
        let open = |index: usize| match (index, QUANTA[index]) {
            (0, _) => ledger.root(),
            (_, None) => ledger.account(PATHS[index], LIMITS[index].map(bytes)).unwrap(),
            (_, Some(quantum)) => {
                ledger.credit_account(PATHS[index], LIMITS[index].map(bytes), Some(bytes(quantum))).unwrap()
            }
        };
        let accounts: Vec<Account> = (0..6).map(open).collect();
        let meters = accounts.iter().map(|account| account.meter("meter")).collect();
        let other = Ledger::new(None);
        let batch = other.root().reserve_many(&[1], "").unwrap();
        Self {
            foreign: batch.handles()[0],
            _others: (other, batch),
            accounts,
            meters,
            model: Model::new(),
            real: BTreeMap::new(),
            dead: Vec::new(),
            stale: Vec::new(),
            waits: Vec::new(),
            scopes: Vec::new(),
            batches: Vec::new(),
            peaks: [0; 6],
            compositions: std::array::from_fn(|_| BTreeMap::new()),
            ledger,
        }
    }

    /// The `which`th live booking.
    fn pick(&self, which: usize) -> Option<usize> {
        self.real.keys().nth(which).copied()
    }

    fn put(&mut self, account: usize, size: u64, label: &str, form: Form, real: Real) {
        let id = self.model.book(account, size, label, form);
        self.real.insert(id, real);
    }

    fn form(account: usize, label: &str) -> Form {
        if label.is_empty() && QUANTA[account].is_some() { Form::Drawn } else { Form::Placed }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Reserve { account, bytes: size, label } => self.reserve(account, size, LABELS[label]),
            Step::Charge { account, bytes: size } => self.charge(account, size),
            Step::Resize { which, bytes: size } => self.resize(which, size),
            Step::Split { which, bytes: size } => self.split(which, size),
            Step::Merge { which, other } => self.merge(which, other),
            Step::Transfer { which, account } => self.transfer(which, account),
            Step::Release { which } => self.release(which),
            Step::Limit { account, limit } => {
                self.model.limits[account] = limit;
                self.accounts[account].set_limit(limit.map(bytes));
            }
            Step::Many { pairs, is_mask } => self.many(&pairs, is_mask),
            Step::ReleaseMany { which, fault } => self.release_many(&which, fault),
            Step::Queue { account, bytes: size } => self.queue(account, size),
            Step::Take { which } => self.take(which),
            Step::Cancel { which } => self.cancel(which),
            Step::Open { account } => self.scopes.push(OpenScope {
                account,
                real: self.accounts[account].scope(),
                start: self.accounts[account].charged().get(),
                highest: self.accounts[account].charged().get(),
                before: self.model.tally_below(account),
            }),
            Step::Close { which } => {
                if which < self.scopes.len() {
                    let _ = self.scopes.remove(which).real.close();
                }
            }
            Step::Churn { account, pairs } => {
                for _ in 0..pairs {
                    drop(self.accounts[account].reserve(bytes(0), "churn").unwrap());
                }
                self.model.tallies[account].made += pairs as u64;
                self.model.tallies[account].released += pairs as u64;
            }
        }
        self.model.serve();
        self.check_queue();
        self.check_accounts();
        self.check_scopes();
    }

    fn admit(&mut self, account: usize, levels: &[usize], size: u64) -> bool {
        let admitted = self.model.admit(levels, size).is_ok();
        if !admitted {
            self.model.refuse(account);
        }
        admitted
    }

    fn reserve(&mut self, account: usize, size: u64, label: &str) {
        let expected = self.model.admit(&path(account), size);
        match (self.accounts[account].reserve(bytes(size), label), expected) {
            (Ok(real), Ok(())) => {
                self.put(account, size, label, Self::form(account, label), Real::Owned(real));
            }
            (Err(refusal), Err(full)) => {
                self.model.refuse(account);
                assert!(refusal.requested > refusal.available);
                if let Some(full) = full {
                    assert_eq!(refusal.account, PATHS[full]);
                    assert_eq!(Some(refusal.limit.get()), self.model.limits[full]);
                    assert_eq!(
                        refusal.available.get(),
                        refusal.limit.get().saturating_sub(self.model.used(full))
                    );
                } else {
                    assert!(refusal.holders[0].label.ends_with("(waiting)"));
                }
            }
            (real, expected) => panic!("{size} on {}: {real:?}, expected {expected:?}", PATHS[account]),
        }
    }

    fn charge(&mut self, account: usize, size: u64) {
        let is_credit = QUANTA[account].is_some();
        let is_admitted = self.admit(account, &path(account), size);
        assert_eq!(self.meters[account].charge(bytes(size)).is_ok(), is_admitted);
        if is_admitted {
            let (label, form) = if is_credit { ("", Form::Drawn) } else { ("meter", Form::Metered) };
            self.put(account, size, label, form, Real::Metered(size));
        }
    }

    fn resize(&mut self, which: usize, size: u64) {
        let Some(id) = self.pick(which) else { return };
        let (Real::Owned(_) | Real::Metered(_)) = self.real[&id] else { return };
        if matches!(self.real[&id], Real::Owned(_)) {
            self.model.place(id);
        }
        let (account, held) = (self.model.bookings[&id].account, self.model.bookings[&id].bytes);
        let (growth, is_drawn) = (size.saturating_sub(held), self.model.bookings[&id].form == Form::Drawn);
        let is_admitted = growth == 0 || self.admit(account, &path(account), growth);
        match self.real.get_mut(&id).unwrap() {
            Real::Owned(real) => assert_eq!(real.resize(bytes(size)).is_ok(), is_admitted),
            Real::Metered(from) => {
                let resized = self.meters[account].resize(bytes(*from), bytes(size));
                assert_eq!(resized.is_ok(), is_admitted, "{from} to {size} on {}", PATHS[account]);
                if is_admitted {
                    *from = size;
                }
            }
            Real::Handled(_) => {}
        }
        if is_admitted {
            self.model.bookings.get_mut(&id).unwrap().bytes = size;
            let tally = &mut self.model.tallies[account];
            if is_drawn {
                (tally.made, tally.released) = (tally.made + 1, tally.released + 1);
            } else {
                tally.total += growth;
            }
        }
    }

    fn split(&mut self, which: usize, size: u64) {
        let Some(id) = self.pick(which) else { return };
        let Real::Owned(real) = &self.real[&id] else { return };
        let split = real.split(bytes(size));
        self.model.place(id);
        let held = self.model.bookings[&id].clone();
        assert_eq!(split.is_ok(), size <= held.bytes);
        if let Ok(rest) = split {
            self.model.bookings.get_mut(&id).unwrap().bytes -= size;
            self.put(held.account, size, &held.label, Form::Placed, Real::Owned(rest));
        }
    }

    fn merge(&mut self, which: usize, other: usize) {
        let (Some(kept), Some(gone)) = (self.pick(which), self.pick(other)) else { return };
        let (Real::Owned(real), Real::Owned(taken)) = (&self.real[&kept], &self.real[&gone]) else { return };
        let merged = real.merge(taken);
        if kept == gone {
            assert!(matches!(merged, Err(Error::Argument { name: "other", .. })));
            return;
        }
        self.model.place(kept);
        self.model.place(gone);
        let is_same = self.model.bookings[&kept].account == self.model.bookings[&gone].account;
        assert_eq!(merged.is_ok(), is_same);
        if is_same {
            self.model.bookings.get_mut(&kept).unwrap().bytes += self.model.bookings[&gone].bytes;
            self.bury(gone);
        }
    }

    fn transfer(&mut self, which: usize, to: usize) {
        let Some(id) = self.pick(which) else { return };
        let Real::Owned(real) = &self.real[&id] else { return };
        let moved = real.transfer(&self.accounts[to]);
        self.model.place(id);
        let (from, held) = (self.model.bookings[&id].account, self.model.bookings[&id].bytes);
        let levels: Vec<usize> = path(to).into_iter().filter(|&level| !is_below(from, level)).collect();
        let is_admitted = from == to || self.admit(to, &levels, held);
        assert_eq!(moved.is_ok(), is_admitted, "{held} from {} to {}", PATHS[from], PATHS[to]);
        if is_admitted && from != to {
            self.model.bookings.get_mut(&id).unwrap().account = to;
            self.model.tallies[from].released += 1;
            self.model.tallies[to].made += 1;
            self.model.tallies[to].total += held;
        }
    }

    fn release(&mut self, which: usize) {
        let Some(id) = self.pick(which) else {
            for dead in &self.dead {
                assert!(!dead.release() && !dead.is_live() && dead.bytes().is_zero());
                assert!(matches!(dead.resize(bytes(1)), Err(Error::Released { .. })));
                assert!(matches!(dead.split(bytes(0)), Err(Error::Released { .. })));
                assert!(matches!(dead.transfer(&self.accounts[0]), Err(Error::Released { .. })));
            }
            return;
        };
        match &self.real[&id] {
            Real::Owned(real) => assert!(real.release()),
            Real::Metered(size) => self.meters[self.model.bookings[&id].account].discharge(bytes(*size)),
            Real::Handled(handle) => self.ledger.release_many(&[*handle]).unwrap(),
        }
        self.bury(id);
    }

    /// Takes a booking that is gone off both lists.
    fn bury(&mut self, id: usize) {
        self.model.release(id);
        match self.real.remove(&id).unwrap() {
            Real::Owned(real) => self.dead.push(real),
            Real::Handled(handle) => self.stale.push(handle),
            Real::Metered(_) => {}
        }
    }

    fn many(&mut self, pairs: &[(usize, u64)], is_mask: bool) {
        let accounts: Vec<u32> = pairs.iter().map(|&(account, _)| self.accounts[account].id()).collect();
        let sizes: Vec<u64> = pairs.iter().map(|&(_, size)| size).collect();
        if is_mask {
            // Takes idle credit back, or one of several decisions may do so between two looks at what is charged.
            drop(self.accounts[0].queue(bytes(0), "").unwrap());
            let id = self.model.book(0, 0, "", Form::Placed);
            self.model.release(id);
            let (batch, mask) = self.ledger.reserve_what_fits(&accounts, &sizes, "y").unwrap();
            let mut handles = batch.handles().to_vec().into_iter();
            for (&(account, size), is_booked) in pairs.iter().zip(mask) {
                assert_eq!(is_booked, self.admit(account, &path(account), size));
                if is_booked {
                    let handle = handles.next().unwrap();
                    self.put(account, size, "y", Form::Placed, Real::Handled(handle));
                }
            }
            self.batches.push(batch);
            return;
        }
        let mut demands = BTreeMap::new();
        for &(account, size) in pairs {
            *demands.entry(account).or_default() += size;
        }
        let is_admitted = self.model.admit_many(&demands);
        let batch = self.ledger.reserve_many(&accounts, &sizes, "y");
        assert_eq!(batch.is_ok(), is_admitted, "{pairs:?}");
        if let Ok(batch) = batch {
            for (&(account, size), &handle) in pairs.iter().zip(batch.handles()) {
                self.put(account, size, "y", Form::Placed, Real::Handled(handle));
            }
            self.batches.push(batch);
        } else {
            let only = demands.keys().next().copied().filter(|_| demands.len() == 1);
            self.model.refuse(only.unwrap_or(0));
        }
    }

    fn release_many(&mut self, which: &[usize], fault: Option<HandleFault>) {
        let mut ids: Vec<usize> = which.iter().filter_map(|&which| self.pick(which)).collect();
        ids.retain(|id| matches!(self.real[id], Real::Handled(_)));
        ids.sort_unstable();
        ids.dedup();
        let handle = |id: &usize| match self.real[id] {
            Real::Handled(handle) => handle,
            _ => self.foreign,
        };
        let mut handles: Vec<Handle> = ids.iter().map(handle).collect();
        let bad = match fault {
            None => None,
            Some(HandleFault::Foreign) => Some(self.foreign),
            Some(HandleFault::Released) => self.stale.last().or(handles.first()).copied(),
            Some(HandleFault::Unknown) => {
                Some(Handle { ledger: self.ledger.id(), slot: u32::MAX, generation: 0 })
            }
        };
        handles.extend(bad);
        let released = self.ledger.release_many(&handles);
        match bad {
            None => {
                released.unwrap();
                for id in ids {
                    self.bury(id);
                }
            }
            Some(_) => match released {
                Err(Error::Handle { index, fault: found }) => {
                    assert_eq!((index, Some(found)), (handles.len() - 1, fault));
                }
                other => panic!("{other:?} of a bad handle"),
            },
        }
    }

    fn queue(&mut self, account: usize, size: u64) {
        let expected = self.model.enqueue(account, size, "x");
        let pending = self.accounts[account].queue(bytes(size), "x");
        assert_eq!(pending.is_ok(), expected.is_some());
        if let (Ok(pending), Some(id)) = (pending, expected) {
            self.waits.push((id, pending));
        }
    }

    fn take(&mut self, which: usize) {
        let Some((id, pending)) = self.waits.get(which) else { return };
        let taken = pending.take();
        let booking = self.model.granted.remove(id);
        assert_eq!(taken.is_some(), booking.is_some());
        if let (Some(real), Some(booking)) = (taken, booking) {
            self.real.insert(booking, Real::Owned(real));
        }
    }

    fn cancel(&mut self, which: usize) {
        if which >= self.waits.len() {
            return;
        }
        let (id, pending) = self.waits.remove(which);
        drop(pending);
        self.model.queue.retain(|waiter| waiter.id != id);
        if let Some(booking) = self.model.granted.remove(&id) {
            self.model.release(booking);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn agrees_with_a_naive_twin(steps in prop::collection::vec(step(), 1..70)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.check_history();
        world.waits.clear();
        world.batches.clear();
        for (id, real) in std::mem::take(&mut world.real) {
            if let Real::Metered(size) = real {
                world.meters[world.model.bookings[&id].account].discharge(bytes(size));
            }
        }
        for row in world.ledger.snapshot().accounts {
            prop_assert_eq!((row.used.get(), row.reservations), (0, 0));
        }
    }
}
