//! What is in memory before the first pass: stored weights, those decoded at load, scratch, and a file to stream from.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::arena::Arena;
use super::weights::{self, Block, Place};
use super::{Conduct, Pieces};
use crate::codec::kernel::{Isa, Matrix, Out, Store};
use crate::error::{Error, Result};
use crate::jit::memory::{self, Plan};
use crate::jit::{Layer, Policy};
use crate::ledger::{Account, Ledger, Reservation};
use crate::units::Bytes;

const OVERFLOW: Error = Error::Overflow { what: "the weights" };

/// Where the stored weights of a run come from.
#[derive(Clone, Copy)]
pub(in crate::jit) enum Source<'a> {
    /// Made up for this run alone.
    Made,
    /// Given, layer by layer.
    Given(&'a [Pieces<'a>]),
    /// Made up before, for several runs of the same layers; none of these streams.
    Kept(&'a Kept),
}

/// Stored weights that several runs go through, so that none of them takes the time to make them.
pub(in crate::jit) struct Kept {
    places: Vec<Place>,
    block: Arc<Block>,
}

impl Kept {
    /// Makes up weights for `layers`.
    pub(in crate::jit) fn make(layers: &[Layer]) -> Result<Self> {
        let (places, size) = weights::places(layers)?;
        let mut block = Block::new(size)?;
        for (index, (layer, place)) in layers.iter().zip(&places).enumerate() {
            put(layer, index, place, Source::Made, block.bytes_mut())?;
        }
        Ok(Self { places, block: Arc::new(block) })
    }

    /// Their pieces, to be copied.
    pub(in crate::jit) fn pieces(&self) -> Vec<Pieces<'_>> {
        self.places.iter().map(|place| place.of(self.block.bytes(), 0)).collect()
    }
}

/// Where a layer's numbers are during a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Stored, in the block that stays.
    Stored,
    /// Decoded, in the dense block from this byte on.
    Dense(usize),
    /// In a file, from this byte on.
    File(u64),
}

/// All memory of a run, booked in a ledger of its own.
pub(super) struct Stage {
    pub(super) stored: Arc<Block>,
    pub(super) places: Vec<Place>,
    pub(super) dense: Block,
    pub(super) homes: Vec<Home>,
    pub(super) plan: Plan,
    pub(super) arena: Arena,
    pub(super) file: Option<Mutex<File>>,
    account: Account,
    held: Vec<Reservation>,
    resident: Bytes,
}

fn bytes(count: usize) -> Bytes {
    Bytes::new(u64::try_from(count).unwrap_or(u64::MAX))
}

impl Stage {
    /// Makes weights or copies them, decodes what is decoded at load, and says how long each layer took.
    pub(super) fn load(
        layers: &[Layer],
        policies: &[Policy],
        source: Source<'_>,
        conduct: &Conduct,
    ) -> Result<(Self, Vec<f64>)> {
        let account = Ledger::new(None).account("jit", None)?;
        let plan = memory::plan(layers, policies, conduct.threads.max(1))?;
        let homes = homes(layers, policies)?;
        let (places, stored, dropped, file) = store(layers, policies, &homes, source)?;
        let book = |size: usize, label| -> Result<Option<Reservation>> {
            Ok(if size > 64 { Some(account.reserve(bytes(size), label)?) } else { None })
        };
        let kept = book(stored.size(), "stored")?;
        let passing = book(dropped.size(), "stored until decoded")?;
        let size = homes.iter().zip(layers).filter(|(home, _)| matches!(home, Home::Dense(_)));
        let size: u64 = size.map(|(_, layer)| layer.dense.get().next_multiple_of(64)).sum();
        let mut dense = Block::new(usize::try_from(size).map_err(|_| OVERFLOW)?)?;
        let decoded = book(dense.size(), "decoded")?;
        let mut seconds = vec![0.0; layers.len()];
        for (index, home) in homes.iter().enumerate() {
            let Home::Dense(start) = *home else { continue };
            let layer = &layers[index];
            let is_kept = policies[index] == Policy::KeepHot;
            let block = if is_kept { &stored } else { &dropped };
            let pieces = places[index].of(block.bytes(), 0);
            let begun = Instant::now();
            let matrix = Matrix::new(layer.scheme, &layer.shape, &pieces)?;
            let end = start.saturating_add(usize::try_from(layer.dense.get()).map_err(|_| OVERFLOW)?);
            let out = bytemuck::cast_slice_mut(&mut dense.bytes_mut()[start..end]);
            let threads = usize::try_from(conduct.threads.max(1)).unwrap_or(1);
            matrix.decode_all(Out::F16(out), Isa::detect(), Store::Streamed, threads)?;
            seconds[index] = begun.elapsed().as_secs_f64();
        }
        drop((dropped, passing));
        let mut held: Vec<Reservation> = [kept, decoded].into_iter().flatten().collect();
        let resident = account.used();
        let arena = Arena::new(usize::try_from(plan.height).map_err(|_| OVERFLOW)?);
        held.extend(book(arena.bytes(), "scratch")?);
        let file = file.map(Mutex::new);
        Ok((Self { stored, places, dense, homes, plan, arena, file, account, held, resident }, seconds))
    }

    /// Books what kernels hold beside stored weights.
    pub(super) fn book_held(&mut self, count: usize) -> Result<()> {
        if count > 0 {
            self.held.push(self.account.reserve(bytes(count), "indices of kernels")?);
            self.resident = self.resident.saturating_add(bytes(count));
        }
        Ok(())
    }

    pub(super) fn peak(&self) -> Bytes {
        self.account.peak()
    }

    pub(super) const fn resident(&self) -> Bytes {
        self.resident
    }

    pub(super) fn scratch(&self) -> Bytes {
        Bytes::new(self.plan.height)
    }
}

fn homes(layers: &[Layer], policies: &[Policy]) -> Result<Vec<Home>> {
    let (mut dense, mut file) = (0_u64, 0_u64);
    let mut homes = Vec::with_capacity(layers.len());
    for (layer, policy) in layers.iter().zip(policies) {
        homes.push(match policy {
            Policy::Stream { .. } => {
                let start = file;
                file = file.checked_add(stored_span(layer)?).ok_or(OVERFLOW)?;
                Home::File(start)
            }
            Policy::LoadTime | Policy::KeepHot if !layer.is_dense() => {
                let start = usize::try_from(dense).map_err(|_| OVERFLOW)?;
                dense = dense.checked_add(layer.dense.get().next_multiple_of(64)).ok_or(OVERFLOW)?;
                Home::Dense(start)
            }
            _ => Home::Stored,
        });
    }
    Ok(homes)
}

/// Bytes of a layer's pieces, each at a cache line.
pub(super) fn stored_span(layer: &Layer) -> Result<u64> {
    let (_, end) = weights::places(std::slice::from_ref(layer))?;
    u64::try_from(end).map_err(|_| OVERFLOW)
}

type Stored = (Vec<Place>, Arc<Block>, Arc<Block>, Option<File>);

/// Lays stored weights into the block that stays, the one that is dropped once decoded, and the file.
fn store(layers: &[Layer], policies: &[Policy], homes: &[Home], source: Source<'_>) -> Result<Stored> {
    if let Source::Kept(kept) = source {
        return of_kept(kept, homes, policies);
    }
    let is_dropped =
        |index: usize| matches!(homes[index], Home::Dense(_)) && policies[index] == Policy::LoadTime;
    let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..layers.len()).filter(|&index| wanted(index)).collect()
    };
    let streamed = of(&|index| matches!(homes[index], Home::File(_)));
    let passing = of(&is_dropped);
    let staying = of(&|index| !is_dropped(index) && !matches!(homes[index], Home::File(_)));
    let mut places = vec![Place { pieces: Vec::new() }; layers.len()];
    let mut block_of = |indices: &[usize]| -> Result<Block> {
        let chosen: Vec<Layer> = indices.iter().map(|&index| layers[index].clone()).collect();
        let (found, size) = weights::places(&chosen)?;
        let mut block = Block::new(size)?;
        for (&index, place) in indices.iter().zip(found) {
            put(&layers[index], index, &place, source, block.bytes_mut())?;
            places[index] = place;
        }
        Ok(block)
    };
    let mut file = None;
    if !streamed.is_empty() {
        let mut open = nameless()?;
        for &index in &streamed {
            let block = block_of(&[index])?;
            let Home::File(start) = homes[index] else { continue };
            open.seek(SeekFrom::Start(start))
                .and_then(|_| open.write_all(block.bytes()))
                .map_err(cannot_write)?;
        }
        open.sync_data().map_err(cannot_write)?;
        file = Some(open);
    }
    let stored = Arc::new(block_of(&staying)?);
    let dropped = Arc::new(block_of(&passing)?);
    Ok((places, stored, dropped, file))
}

/// What was made before, booked as if this run had made it: of layers under one policy, all stay or none.
fn of_kept(kept: &Kept, homes: &[Home], policies: &[Policy]) -> Result<Stored> {
    if homes.iter().any(|home| matches!(home, Home::File(_))) {
        let reason = "weights that were made before are in memory, not in a file".to_owned();
        return Err(Error::Argument { name: "policies", reason });
    }
    let passes =
        |(home, policy): (&Home, &Policy)| matches!(home, Home::Dense(_)) && *policy == Policy::LoadTime;
    let passing = homes.iter().zip(policies).filter(|&pair| passes(pair)).count();
    let block =
        |is_used: bool| if is_used { Ok(Arc::clone(&kept.block)) } else { Block::new(0).map(Arc::new) };
    Ok((kept.places.clone(), block(passing < homes.len())?, block(passing > 0)?, None))
}

fn put(layer: &Layer, index: usize, place: &Place, source: Source<'_>, block: &mut [u8]) -> Result<()> {
    let Source::Given(all) = source else {
        let seed = u64::try_from(index).unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        return weights::make(layer, place, block, seed | 1);
    };
    let pieces = all.get(index).map_or(&[][..], Vec::as_slice);
    let fits = pieces.len() == place.pieces.len()
        && pieces.iter().zip(&place.pieces).all(|(piece, range)| piece.len() == range.len());
    if !fits {
        let reason = format!("{:?} has other pieces than {} stores", layer.name, layer.scheme);
        return Err(Error::Argument { name: "weights", reason });
    }
    for (piece, range) in pieces.iter().zip(&place.pieces) {
        block[range.clone()].copy_from_slice(piece);
    }
    Ok(())
}

fn cannot_write(source: std::io::Error) -> Error {
    Error::Io { path: std::env::temp_dir(), source }
}

/// A file that is gone once it is closed.
pub(in crate::jit) fn nameless() -> Result<File> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ullage-stream-{}-{number}", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(&path).map_err(cannot_write)?;
    // Where a file in use cannot be removed, it stays until the folder is cleared.
    let _ = std::fs::remove_file(&path);
    Ok(file)
}
