//! What each layer of a GGUF keeps, from its keys and the table of architectures.

use super::gguf_scope::Scope;
use super::gguf_table::{Extra, Facts, Indexer, Pattern, Recurrent, Role, Sharing, Tokens, UNLISTED, Window};
use super::{Attention, Cache, Layer, Span, State};
use crate::model::fault::Fault;

/// From here on GLM-DSA files without a list of indexers mean those of GLM 5.2.
const LONG_CONTEXT: u64 = 1 << 20;

/// No known model is gone through more often.
const MOST_LOOPS: u64 = 64;

/// The ratio of compression that DeepSeek-V4 reads with an indexer.
const OVERLAPPING: u64 = 4;

/// Keys that tell of a state: RWKV, short convolutions, KDA, and Mamba with its kin.
const OF_STATE: [&str; 4] = ["wkv.head_size", "shortconv.l_cache", "kda.head_dim", "ssm.state_size"];

const PATTERN: &str = "attention.sliding_window_pattern";

/// The layers of one model.
pub(super) struct Layers<'a> {
    scope: &'a Scope<'a>,
    facts: Facts,
    /// Whether keys tell of a state, of an architecture that is not in the table.
    has_unlisted_state: bool,
    /// Layers in all.
    pub(super) count: usize,
    /// Layers without those at the end that predict further tokens.
    pub(super) trunk: usize,
    pub(super) heads: Vec<u64>,
    kv_heads: Vec<u64>,
    pub(super) feed_forward: Vec<u64>,
    sizes: HeadSizes,
}

/// Elements of keys and values, in layers that see all and in those with a window.
#[derive(Clone, Copy)]
struct HeadSizes {
    key: u64,
    value: u64,
    window_key: u64,
    window_value: u64,
    latent: Option<Latent>,
}

#[derive(Clone, Copy)]
struct Latent {
    rank: u64,
    key: u64,
    value: u64,
}

impl<'a> Layers<'a> {
    pub(super) fn read(scope: &'a Scope<'a>, listed: Option<Facts>, count: usize) -> Result<Self, Fault> {
        let facts = listed.unwrap_or(UNLISTED);
        let heads = scope.per_layer("attention.head_count", count)?.unwrap_or_else(|| vec![0; count]);
        let kv_heads = scope.per_layer("attention.head_count_kv", count)?.unwrap_or_else(|| heads.clone());
        let feed_forward = scope.per_layer("feed_forward_length", count)?.unwrap_or_else(|| vec![0; count]);
        let predicting = scope.number_or("nextn_predict_layers", 0)?;
        let trunk = usize::try_from(predicting).ok().and_then(|predicting| count.checked_sub(predicting));
        let has_unlisted_state = listed.is_none() && OF_STATE.iter().any(|key| scope.has(key));
        let sizes = HeadSizes::read(scope, &facts, heads.first().copied().unwrap_or(0))?;
        // A file of nothing but predicting layers keeps what they keep.
        let trunk = trunk.filter(|&trunk| trunk > 0).unwrap_or(count);
        Ok(Self { scope, facts, has_unlisted_state, count, trunk, heads, kv_heads, feed_forward, sizes })
    }

    /// What each keeps, in order.
    pub(super) fn all(&self) -> Result<Vec<Layer>, Fault> {
        if self.facts.role == Role::Encoder {
            return Ok(vec![Layer::keeping_nothing(); self.count]);
        }
        let windows = self.windows()?;
        let is_known = !self.has_unlisted_state && windows.is_some();
        let windows = windows.unwrap_or_else(|| vec![None; self.count]);
        let owners = self.owners()?;
        // Where no other kind of layer is meant, one without heads has a cache all the same, of nothing: llama.cpp widens
        // its values, as those of every layer, to the widest when it runs without flash attention.
        let is_all_attention = matches!(self.facts.recurrent, Recurrent::No) && !self.has_unlisted_state;
        let has_heads = |place: usize| is_all_attention || self.kv_heads[place] > 0;
        let (mixers, state, indexers) = (self.mixers()?, self.state()?, self.indexers()?);
        let per_layer = windows.into_iter().zip(mixers).zip(indexers).enumerate();
        let mut layers: Vec<Layer> = per_layer
            .map(|(place, ((window, (has_state, attends)), index))| {
                let is_kept = place < self.trunk || self.facts.caches_prediction;
                let has_cache = attends && is_kept && place < owners && has_heads(place);
                let attention = self.attention(place, window.is_some());
                Layer {
                    cache: has_cache.then_some(Cache { span: window.unwrap_or(Span::All), attention }),
                    state: has_state.then_some(state),
                    index: match (has_cache, window, index) {
                        (false, ..) | (_, _, 0) => 0,
                        (true, None, index) => index,
                        // llama.cpp sizes an indexer's keys as those of the window that its layer has.
                        (true, Some(_), _) => self.sizes.window_key,
                    },
                    is_known,
                }
            })
            .collect();
        if self.facts.is_compressed {
            self.compress(&mut layers)?;
        }
        self.with_extra(layers)
    }

    /// Adds the keys that stand for several tokens each, and the sums that the next of them is made of.
    fn compress(&self, layers: &mut [Layer]) -> Result<(), Fault> {
        let ratios = self.scope.keys.list(&self.scope.key("attention.compress_ratios")).unwrap_or_default();
        let indexer = self.scope.number_or("attention.indexer.key_length", 0)?;
        for (layer, &ratio) in layers.iter_mut().zip(ratios) {
            // The finer ratio overlaps its neighbours, and has an indexer.
            let (keys, rows) = match ratio {
                0 => continue,
                OVERLAPPING => (self.sizes.key.saturating_add(indexer), OVERLAPPING.saturating_mul(4)),
                ratio => (self.sizes.key, ratio),
            };
            layer.index = keys.div_ceil(ratio);
            layer.state = Some(State { convolution: 0, recurrent: product(&[2, rows, keys]) });
        }
        Ok(())
    }

    fn with_extra(&self, mut layers: Vec<Layer>) -> Result<Vec<Layer>, Fault> {
        match self.facts.extra {
            Extra::No => {}
            Extra::Loops => {
                let loops = self.scope.number_or("num_loops", 1)?.clamp(1, MOST_LOOPS);
                layers = layers.repeat(usize::try_from(loops).unwrap_or(1));
            }
            Extra::Ngrams => self.add_ngrams(&mut layers)?,
            Extra::Router => {
                let attention =
                    Attention::Heads { kv_heads: 1, key: self.sizes.key, value: self.sizes.value };
                layers.push(Layer::attending(Span::All, attention));
            }
        }
        Ok(layers)
    }

    fn add_ngrams(&self, layers: &mut [Layer]) -> Result<(), Fault> {
        let number = |key: &str| self.scope.number_or(key, 0);
        let before = number("ple.conv_kernel")?.saturating_sub(1);
        let streams = product(&[number("hyper_connection.count")?, number("embedding_length")?]);
        let inputs = product(&[before, number("ple.ngram_size")?, streams]);
        for &place in self.scope.keys.list(&self.scope.key("ple.layers")).unwrap_or_default() {
            let layer = usize::try_from(place).ok().and_then(|place| layers.get_mut(place));
            if let Some(state) = layer.and_then(|layer| layer.state.as_mut()) {
                state.convolution = state.convolution.saturating_add(inputs);
            }
        }
        Ok(())
    }

    fn attention(&self, place: usize, is_windowed: bool) -> Attention {
        let HeadSizes { key, value, window_key, window_value, latent } = self.sizes;
        let (key, value) = if is_windowed { (window_key, window_value) } else { (key, value) };
        let kv_heads = self.kv_heads[place];
        let Some(latent) = latent else {
            let value = if self.facts.is_compressed { 0 } else { value };
            return Attention::Heads { kv_heads, key, value };
        };
        let row = key.saturating_mul(kv_heads);
        let rank = latent.rank.min(row);
        let rope = row.saturating_sub(rank);
        Attention::Latent { rank, rope, heads: self.heads[place], key: latent.key, value: latent.value }
    }

    /// The window of each layer, where it has one; `None` where the key that would tell is missing.
    fn windows(&self) -> Result<Option<Vec<Option<Span>>>, Fault> {
        let none = Ok(Some(vec![None; self.count]));
        let Some(window) = self.facts.window else { return none };
        let key = self.scope.number("attention.sliding_window")?;
        let is_used = window.only_with_layers.is_none_or(|layers| layers == self.trunk);
        let Some(tokens) = window.tokens.given(key).filter(|_| is_used) else { return none };
        let span = if window.is_chunked { Span::Chunk(tokens) } else { Span::Window(tokens) };
        let Some(windowed) = self.windowed(&window)? else { return Ok(None) };
        let of_trunk =
            windowed.into_iter().enumerate().map(|(place, is_windowed)| is_windowed && place < self.trunk);
        Ok(Some(of_trunk.map(|is_windowed| is_windowed.then_some(span)).collect()))
    }

    fn windowed(&self, window: &Window) -> Result<Option<Vec<bool>>, Fault> {
        let layers = 0..self.count;
        let key = self.scope.key(PATTERN);
        if let Some(list) = self.scope.keys.list(&key) {
            return Ok(Some(layers.map(|place| list.get(place).is_some_and(|&flag| flag != 0)).collect()));
        }
        let Pattern::Every { every, is_dense_first } = window.pattern else {
            return Ok(matches!(window.pattern, Pattern::All).then(|| vec![true; self.count]));
        };
        let every = usize::try_from(self.scope.number_or(PATTERN, every)?).unwrap_or(usize::MAX);
        let dense = if is_dense_first { 0 } else { every.saturating_sub(1) };
        Ok(Some(layers.map(|place| place.checked_rem(every).is_none_or(|rest| rest != dense)).collect()))
    }

    /// Layers from the first on that have a cache of their own.
    fn owners(&self) -> Result<usize, Fault> {
        Ok(match self.facts.sharing {
            Sharing::No => self.count,
            Sharing::After(owners) => owners,
            Sharing::Key => {
                let sharing = self.scope.number_or("attention.shared_kv_layers", 0)?;
                self.count.saturating_sub(usize::try_from(sharing).unwrap_or(usize::MAX))
            }
        })
    }

    /// Of each layer, whether it has a state and whether it attends.
    fn mixers(&self) -> Result<Vec<(bool, bool)>, Fault> {
        let is_headless = |place: usize| self.kv_heads[place] == 0;
        let of_all = |mixer| Ok(vec![mixer; self.count]);
        let each = |mixer: &dyn Fn(usize) -> (bool, bool)| Ok((0..self.count).map(mixer).collect());
        match self.facts.recurrent {
            // Keys tell of a state, the table does not know which layers have it.
            Recurrent::No if self.has_unlisted_state => {
                let is_everywhere = !(0..self.count).any(is_headless);
                each(&|place| (is_everywhere || is_headless(place), true))
            }
            Recurrent::No => of_all((false, true)),
            Recurrent::Only => of_all((true, false)),
            Recurrent::Beside => of_all((true, true)),
            Recurrent::WhereHeadless => each(&|place| (is_headless(place) && place < self.trunk, true)),
            Recurrent::WhereNothingElse => each(&|place| {
                let is_alone = self.feed_forward[place] == 0;
                (is_headless(place) && is_alone && place < self.trunk, is_alone)
            }),
            Recurrent::Interval(every) | Recurrent::LinearInterval(every) => {
                let recurrent = self.recurrent(every)?;
                each(&|place| (recurrent[place], !recurrent[place]))
            }
        }
    }

    fn recurrent(&self, every: u64) -> Result<Vec<bool>, Fault> {
        let listed = self.scope.per_layer("attention.recurrent_layers", self.count)?;
        let every =
            usize::try_from(self.scope.number_or("full_attention_interval", every)?).unwrap_or(usize::MAX);
        let is_recurrent = |place: usize| match &listed {
            Some(listed) => listed[place] != 0,
            None => !place.saturating_add(1).is_multiple_of(every),
        };
        Ok((0..self.count).map(|place| place < self.trunk && is_recurrent(place)).collect())
    }

    /// The state of a recurrent layer; the first kind of which a key tells.
    fn state(&self) -> Result<State, Fault> {
        let number = |key: &str| self.scope.number_or(key, 0);
        let hidden = number("embedding_length")?;
        let heads = self.heads.first().copied().unwrap_or(0);
        let [rwkv, short, kda, state] = OF_STATE.map(number);
        let (rwkv, short, kda, state) = (rwkv?, short?, kda?, state?);
        let kernel = number("ssm.conv_kernel")?;
        let inner = number("ssm.inner_size")?;
        if rwkv > 0 {
            let shifts = self.scope.number_or("token_shift_count", 2)?;
            return Ok(State {
                convolution: product(&[shifts, hidden]),
                recurrent: product(&[hidden, rwkv]),
            });
        }
        if short > 0 {
            let convolution = product(&[hidden, short.saturating_sub(1)]);
            return Ok(State { convolution, recurrent: product(&[state, inner]) });
        }
        if kda > 0 {
            let before = if kernel > 0 { kernel.saturating_sub(1) } else { 3 };
            let convolution = product(&[3, before, heads, kda]);
            return Ok(State { convolution, recurrent: product(&[kda, kda, heads]) });
        }
        let mixed = inner.saturating_add(product(&[2, number("ssm.group_count")?, state]));
        let convolution = product(&[kernel.saturating_sub(1), mixed]);
        let recurrent = match self.facts.recurrent {
            Recurrent::LinearInterval(_) => product(&[self.sizes.key, self.sizes.key, heads]),
            _ => product(&[state, inner]),
        };
        Ok(State { convolution, recurrent })
    }

    /// Elements per token that an indexer of each layer keeps.
    fn indexers(&self) -> Result<Vec<u64>, Fault> {
        let key = self.scope.number_or("attention.indexer.key_length", 0)?;
        let pooled = if self.scope.number_or("attention.indexer.kpool", 0)? > 0 { 3 } else { 1 };
        let elements = product(&[key, pooled]);
        let types = "attention.indexer.types";
        let listed = self.scope.keys.list(&self.scope.key(types));
        let is_listed = |place: usize, default: bool| match listed {
            Some(list) => list.get(place).is_some_and(|&flag| flag != 0),
            None => default,
        };
        let is_long = self.scope.number_or("context_length", 0)? >= LONG_CONTEXT;
        let has_top = self.scope.number_or("attention.indexer.top_k", 0)? > 0;
        let dense =
            usize::try_from(self.scope.number_or("leading_dense_block_count", 0)?).unwrap_or(usize::MAX);
        let of = |place: usize| match self.facts.indexer {
            Indexer::No => 0,
            Indexer::AfterDense => {
                let elements = key.saturating_add(self.sizes.value);
                product(&[elements, (place >= dense).into()])
            }
            Indexer::All => elements,
            Indexer::Listed => product(&[elements, is_listed(place, true).into()]),
            Indexer::ListedOrFourth => {
                let is_fourth = place < 2 || place % 4 == 2;
                product(&[elements, is_listed(place, !is_long || is_fourth).into()])
            }
            Indexer::IfTopK => product(&[elements, (has_top && is_listed(place, false)).into()]),
        };
        Ok((0..self.count).map(|place| if place < self.trunk { of(place) } else { 0 }).collect())
    }
}

impl HeadSizes {
    fn read(scope: &Scope<'_>, facts: &Facts, heads: u64) -> Result<Self, Fault> {
        let default = scope.number_or("embedding_length", 0)?.checked_div(heads).unwrap_or(0);
        let has_sizes = heads > 0 || facts.reads_head_sizes;
        let size = |key: &str| if has_sizes { scope.number_or(key, default) } else { Ok(0) };
        let (key, value) = (size("attention.key_length")?, size("attention.value_length")?);
        let expanded_key = scope.number_or("attention.key_length_mla", 0)?;
        let expanded_value = scope.number_or("attention.value_length_mla", 0)?;
        let is_latent = facts.reads_latent && expanded_key > 0 && expanded_value > 0;
        let rank = scope.number_or("attention.kv_lora_rank", key)?;
        Ok(Self {
            key,
            value,
            window_key: scope.number_or("attention.key_length_swa", key)?,
            window_value: scope.number_or("attention.value_length_swa", value)?,
            latent: is_latent.then_some(Latent { rank, key: expanded_key, value: expanded_value }),
        })
    }
}

impl Tokens {
    fn given(self, key: Option<u64>) -> Option<u64> {
        let positive = key.filter(|&tokens| tokens > 0);
        match self {
            Self::Key => positive,
            Self::KeyOr(default) => Some(key.unwrap_or(default)).filter(|&tokens| tokens > 0),
            Self::IfKey(tokens) => positive.and(Some(tokens)),
            Self::UnlessZero(tokens) => (key != Some(0)).then_some(tokens),
        }
    }
}

fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product: u64, &factor| product.saturating_mul(factor))
}
