//! When stored weights are turned into numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::{Bytes, clip};

/// What is done with one layer. A layer that is stored as plain numbers is multiplied from where it lies under each but
/// [`Policy::Stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Decoded once before the first pass; what was stored is dropped after all layers are.
    LoadTime,
    /// Decoded on every pass into scratch memory, and multiplied from there.
    JustInTime {
        /// How much is decoded at a time.
        scratch: Scratch,
        /// Layers that are decoded ahead by a thread or unit of its own; none: decoding and computing take turns.
        prefetch: u32,
    },
    /// Multiplied from what is stored, decoded in registers.
    Fused,
    /// Decoded at first use and kept beside what is stored, as long as a memory limit allows.
    KeepHot,
    /// Read from storage on every pass, so many layers ahead, and multiplied fused; kept as a memory limit allows.
    Stream {
        /// Layers that are read ahead.
        prefetch: u32,
    },
}

/// How much is decoded at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scratch {
    /// The whole layer.
    Layer,
    /// Whole rows of about so many bytes of 16-bit numbers for each thread.
    Tile(Bytes),
}

impl Policy {
    /// Just in time, layer by layer, the next one decoded meanwhile.
    pub const PREFETCHED: Self = Self::JustInTime { scratch: Scratch::Layer, prefetch: 1 };
    /// Just in time, layer by layer, on the computing threads themselves.
    pub const BY_LAYER: Self = Self::JustInTime { scratch: Scratch::Layer, prefetch: 0 };
    /// Just in time in tiles of 256 KiB, which any cache beside a core holds.
    pub const TILED: Self = Self::JustInTime { scratch: Scratch::Tile(Bytes::new(256 << 10)), prefetch: 0 };
    /// The most layers ahead.
    pub const DEEPEST: u32 = 64;

    /// The kinds that differ in what is resident, for a comparison of all.
    pub const ALL: [Self; 7] = [
        Self::LoadTime,
        Self::BY_LAYER,
        Self::PREFETCHED,
        Self::TILED,
        Self::Fused,
        Self::KeepHot,
        Self::Stream { prefetch: 1 },
    ];

    /// The kind alone: `load_time`, `just_in_time`, `fused`, `keep_hot` or `stream`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::LoadTime => "load_time",
            Self::JustInTime { .. } => "just_in_time",
            Self::Fused => "fused",
            Self::KeepHot => "keep_hot",
            Self::Stream { .. } => "stream",
        }
    }

    /// The same with so many layers ahead, where that means something.
    #[must_use]
    pub const fn with_prefetch(self, prefetch: u32) -> Self {
        match self {
            Self::JustInTime { scratch, .. } => Self::JustInTime { scratch, prefetch },
            Self::Stream { .. } => Self::Stream { prefetch },
            other => other,
        }
    }

    /// Layers that are made ready ahead of their turn.
    #[must_use]
    pub const fn prefetch(self) -> u32 {
        match self {
            Self::JustInTime { prefetch, .. } | Self::Stream { prefetch } => prefetch,
            Self::LoadTime | Self::Fused | Self::KeepHot => 0,
        }
    }

    /// # Errors
    /// [`Error::Argument`] for tiles of nothing, tiles with prefetch, or more than [`Policy::DEEPEST`] layers ahead.
    pub(super) fn check(self) -> Result<()> {
        let reason = match self {
            Self::JustInTime { scratch: Scratch::Tile(bytes), .. } if bytes.is_zero() => {
                "a tile of no bytes holds nothing".to_owned()
            }
            Self::JustInTime { scratch: Scratch::Tile(_), prefetch: 1.. } => {
                "tiles are decoded by the thread that multiplies them; prefetch goes with whole layers"
                    .to_owned()
            }
            other if other.prefetch() > Self::DEEPEST => {
                format!("{} layers ahead are more than {}", other.prefetch(), Self::DEEPEST)
            }
            _ => return Ok(()),
        };
        Err(Error::Argument { name: "policy", reason })
    }

    fn option(self, text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(format!("{:?} is no option of the form name=value", clip(text)));
        };
        match (self, name) {
            (Self::JustInTime { prefetch, .. }, "tile") => {
                let bytes = value.parse().map_err(|error| format!("{error}"))?;
                Ok(Self::JustInTime { scratch: Scratch::Tile(bytes), prefetch })
            }
            (Self::JustInTime { .. } | Self::Stream { .. }, "prefetch") => {
                let depth = value.parse().map_err(|_| "prefetch is a whole number from 0 on".to_owned())?;
                Ok(self.with_prefetch(depth))
            }
            _ => Err(format!("{:?} is no option of {}", clip(name), self.kind())),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if let Self::JustInTime { scratch: Scratch::Tile(bytes), .. } = self {
            match bytes.get() {
                whole if whole.is_multiple_of(1024) => write!(f, ",tile={}KiB", whole >> 10)?,
                other => write!(f, ",tile={other}")?,
            }
        }
        if self.prefetch() > 0 {
            write!(f, ",prefetch={}", self.prefetch())?;
        }
        Ok(())
    }
}

impl FromStr for Policy {
    type Err = Error;

    /// Reads `load_time`, `just_in_time[,tile=256KiB][,prefetch=1]`, `fused`, `keep_hot` or `stream[,prefetch=1]`.
    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(',');
        let kind = words.next().unwrap_or("");
        let plain = match kind {
            "load_time" => Self::LoadTime,
            "just_in_time" => Self::BY_LAYER,
            "fused" => Self::Fused,
            "keep_hot" => Self::KeepHot,
            "stream" => Self::Stream { prefetch: 0 },
            other => {
                let reason = format!(
                    "{:?} is none of load_time, just_in_time[,tile=256KiB][,prefetch=1], fused, keep_hot and \
                     stream[,prefetch=1]",
                    clip(other)
                );
                return Err(Error::Argument { name: "policy", reason });
            }
        };
        let read = words.try_fold(plain, Self::option);
        let policy = read.map_err(|reason| Error::Argument { name: "policy", reason })?;
        policy.check().map(|()| policy)
    }
}
