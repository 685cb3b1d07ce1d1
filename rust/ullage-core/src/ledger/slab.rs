//! The live reservations: 32 bytes each, in places that are used again and again.

use super::tag::TagId;
use crate::error::HandleFault;

/// Reservations a block holds. Blocks never move, so that growing costs no copy of millions of reservations.
const BLOCK: usize = 4096;
const BLOCK_IDS: SlotId = 4096;

/// End of the list of free places; the values above it mark places in use.
const END: u32 = u32::MAX - 4;
/// Handled, and named in the list of handles that is being checked.
const NAMED: u32 = u32::MAX - 3;
const OWNED: u32 = u32::MAX - 2;
const HANDLED: u32 = u32::MAX - 1;
const RETIRED: u32 = u32::MAX;

/// Index of a place.
pub(super) type SlotId = u32;

/// Identity of a reservation that is held as plain data, unforgeable by accident.
///
/// A place counts its tenants, and a ledger has a number that no other ledger of the process has or had: a handle that
/// was released, or belongs to another ledger, is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Handle {
    /// Number of the ledger.
    pub ledger: u64,
    /// Index of the place.
    pub slot: u32,
    /// The place's tenants before this one.
    pub generation: u32,
}

/// A live reservation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) bytes: u64,
    /// When it was made, in nanoseconds of the ledger.
    pub(super) born: u64,
    pub(super) tag: TagId,
    pub(super) generation: u32,
    /// Where it was made; zero if that was not asked for.
    pub(super) origin: u32,
    /// What the place is, or the next free one.
    link: u32,
}

impl Slot {
    fn is_live(&self) -> bool {
        matches!(self.link, OWNED | HANDLED | NAMED)
    }
}

/// What a place held when it was freed: no more than is asked for, because a copy of all that was just written, field by
/// field, would wait for the stores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) bytes: u64,
    pub(super) tag: TagId,
    pub(super) generation: u32,
}

/// Who holds on to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    /// A `Reservation`, which knows by itself whether it was released.
    Owned,
    /// A [`Handle`].
    Handled,
}

#[derive(Debug)]
pub(super) struct Slab {
    blocks: Vec<Box<[Slot; BLOCK]>>,
    free: SlotId,
    live: usize,
}

impl Slab {
    pub(super) fn new() -> Self {
        Self { blocks: Vec::new(), free: END, live: 0 }
    }

    #[inline]
    pub(super) fn get(&self, id: SlotId) -> &Slot {
        &self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: SlotId) -> &mut Slot {
        &mut self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    /// Whether `more` reservations can be numbered.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.live.saturating_add(more) < END as usize
    }

    /// The place that is taken next.
    pub(super) fn next(&mut self) -> SlotId {
        if self.free == END {
            self.add_block();
        }
        self.free
    }

    #[inline]
    pub(super) fn take(&mut self, bytes: u64, born: u64, tag: TagId, tenure: Tenure) -> SlotId {
        let id = self.next();
        let slot = self.get_mut(id);
        let next = slot.link;
        slot.bytes = bytes;
        slot.born = born;
        slot.tag = tag;
        slot.origin = 0;
        slot.link = if tenure == Tenure::Owned { OWNED } else { HANDLED };
        self.free = next;
        self.live = self.live.saturating_add(1);
        id
    }

    fn add_block(&mut self) {
        // Numbers run out before the 32 bits do: `has_room_for` is asked where millions are made at once.
        let first = u32::try_from(self.blocks.len().saturating_mul(BLOCK)).unwrap_or(END);
        let last = first.saturating_add(BLOCK_IDS);
        let slot = |link| Slot { bytes: 0, born: 0, tag: 0, generation: 0, origin: 0, link };
        let links = (first.saturating_add(1)..last).chain(std::iter::once(END));
        let block: Box<[Slot]> = links.map(slot).collect();
        if let Ok(block) = block.try_into() {
            self.blocks.push(block);
            self.free = first;
        }
    }

    /// Frees a live place and gives what it held.
    #[inline]
    pub(super) fn give_back(&mut self, id: SlotId) -> Left {
        let free = self.free;
        let slot = self.get_mut(id);
        debug_assert!(slot.is_live(), "a place is freed once");
        let held = Left { bytes: slot.bytes, tag: slot.tag, generation: slot.generation };
        if slot.generation == u32::MAX {
            slot.link = RETIRED; // its next tenant could not be told from its first
        } else {
            slot.generation = slot.generation.wrapping_add(1);
            slot.link = free;
            self.free = id;
        }
        self.live = self.live.saturating_sub(1);
        held
    }

    /// The live place of a handle that was not released.
    pub(super) fn find(&self, handle: Handle, ledger: u64) -> Result<SlotId, HandleFault> {
        if handle.ledger != ledger {
            return Err(HandleFault::Foreign);
        }
        let slot =
            self.blocks.get(handle.slot as usize / BLOCK).map(|block| &block[handle.slot as usize % BLOCK]);
        match slot {
            Some(slot) if slot.generation == handle.generation && slot.link == HANDLED => Ok(handle.slot),
            Some(slot) if slot.generation > handle.generation => Err(HandleFault::Released),
            Some(slot) if slot.generation == handle.generation && slot.link == NAMED => {
                Err(HandleFault::Released) // by the same list
            }
            _ => Err(HandleFault::Unknown),
        }
    }

    /// The live places of all `handles`, or the first that names none or one that was named before.
    pub(super) fn find_all(
        &mut self,
        handles: &[Handle],
        ledger: u64,
    ) -> Result<Vec<SlotId>, (usize, HandleFault)> {
        let mut slots = Vec::with_capacity(handles.len());
        for (index, &handle) in handles.iter().enumerate() {
            match self.find(handle, ledger) {
                Ok(id) => {
                    self.get_mut(id).link = NAMED;
                    slots.push(id);
                }
                Err(fault) => {
                    for id in slots {
                        self.get_mut(id).link = HANDLED;
                    }
                    return Err((index, fault));
                }
            }
        }
        Ok(slots)
    }

    pub(super) fn handle(&self, id: SlotId, ledger: u64) -> Handle {
        Handle { ledger, slot: id, generation: self.get(id).generation }
    }

    /// Every live reservation.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        (0..).zip(self.blocks.iter().flat_map(|block| block.iter())).filter(|(_, slot)| slot.is_live())
    }
}
