#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::codec::{Gguf, Scheme};
use crate::model::{Architecture, Attention, Dtype, Layer, Span, Tensor};

fn gb(tenths: u64) -> Bytes {
    Bytes::new(tenths * 100_000_000)
}

fn heads(kv_heads: u64, head_dim: u64) -> Attention {
    Attention::Heads { kv_heads, key: head_dim, value: head_dim }
}

fn architecture(
    layers: usize,
    hidden: u64,
    query_heads: u64,
    kv_heads: u64,
    is_decoder: Option<bool>,
) -> Architecture {
    Architecture {
        name: Some("test".to_owned()),
        is_decoder,
        hidden,
        intermediate: 4 * hidden,
        heads: query_heads,
        vocabulary: Some(1000),
        max_context: Some(1 << 17),
        layers: vec![Layer::attending(Span::All, heads(kv_heads, hidden / query_heads)); layers],
        ..Architecture::default()
    }
}

fn matrix(name: &str, dtype: Dtype, rows: u64, columns: u64) -> Tensor {
    let bytes = dtype.bytes_of(rows * columns).unwrap();
    Tensor::plain(name.to_owned(), dtype, vec![rows, columns], 0, bytes)
}

fn model(tensors: Vec<Tensor>, architecture: Option<Architecture>) -> Model {
    let base = Model::of_size("test", Bytes::new(1)).unwrap();
    Model { basis: Basis::Header, tensors, architecture, ..base }
}

fn generic() -> &'static Policy {
    Policy::of("generic").unwrap()
}

fn workload(model: &Model, context: u64, batch: u64) -> Workload {
    Workload::new(model, Some(context), batch, KvDtype::F16).unwrap()
}

#[test]
fn caches_equal_what_runtimes_allocate() {
    // llama.cpp's own allocations: Llama-3.1-8B at 8,192 and 131,072 tokens, DeepSeek-V3 at 131,072 (8,784 MiB).
    let llama = model(vec![], Some(architecture(32, 4096, 32, 8, Some(true))));
    for (context, bytes) in [(8_192, 1_073_741_824), (131_072, 17_179_869_184)] {
        let kv_cache = estimate(&llama, &workload(&llama, context, 1), generic()).unwrap().kv_cache;
        assert_eq!(
            kv_cache,
            Interval {
                formula: kv_cache.formula.clone(),
                ..Interval::exact(Bytes::new(bytes), Origin::Config, "")
            }
        );
    }
    let mut latent = architecture(61, 7168, 128, 128, Some(true));
    let attention = Attention::Latent { rank: 512, rope: 64, heads: 128, key: 192, value: 128 };
    latent.layers = vec![Layer::attending(Span::All, attention); 61];
    let deepseek = model(vec![], Some(latent));
    let kv_cache = estimate(&deepseek, &workload(&deepseek, 131_072, 1), generic()).unwrap().kv_cache;
    assert_eq!(kv_cache.best, Bytes::new(8_784 << 20));
    assert_eq!(kv_cache.hi.get() / kv_cache.best.get(), 71);
}

#[test]
fn a_window_caps_what_a_layer_keeps() {
    let mut half = architecture(4, 64, 4, 2, Some(true));
    let [window, full] = [Span::Window(100), Span::All].map(|span| Layer::attending(span, heads(2, 16)));
    half.layers = vec![window, full, window, full];
    let model = model(vec![], Some(half));
    let kv_cache = estimate(&model, &workload(&model, 1_000, 3), generic()).unwrap().kv_cache;
    assert_eq!(kv_cache.best.get(), 3 * (2 * 1_000 + 2 * 100) * (2 * 2 * 16) * 2);
    let short = estimate(&model, &workload(&model, 50, 1), generic()).unwrap().kv_cache;
    assert_eq!(short.best.get(), 4 * 50 * 64 * 2);
}

#[test]
fn what_is_not_modelled_widens_the_interval_instead_of_hiding() {
    let mut hybrid = architecture(4, 64, 4, 2, Some(true));
    hybrid.layers[..3].fill(Layer::unknown(heads(2, 16)));
    let model = model(vec![], Some(hybrid));
    let footprint = estimate(&model, &workload(&model, 1_000, 1), generic()).unwrap();
    assert_eq!(footprint.kv_cache.hi.get(), 4 * footprint.kv_cache.lo.get());
    assert_eq!(footprint.kv_cache.origin, Origin::Assumed);
    assert!(footprint.state.hi > Bytes::ZERO);
}

#[test]
fn an_encoder_keeps_no_cache_and_an_unknown_kind_may() {
    let encoder = model(vec![], Some(architecture(6, 384, 12, 12, Some(false))));
    let footprint = estimate(&encoder, &workload(&encoder, 128, 1), generic()).unwrap();
    assert_eq!((footprint.kv_cache.hi, footprint.kv_cache.origin), (Bytes::ZERO, Origin::Config));
    // 2 hidden and 2 intermediate vectors for 128 tokens outweigh 5 hidden ones and the scores of 12 heads.
    assert_eq!(footprint.activations.best.get(), 4 * 128 * (2 * 384 + 2 * 1536));
    let unknown = model(vec![], Some(architecture(6, 384, 12, 12, None)));
    let kv_cache = estimate(&unknown, &workload(&unknown, 128, 1), generic()).unwrap().kv_cache;
    assert_eq!((kv_cache.lo, kv_cache.best), (Bytes::ZERO, Bytes::ZERO));
    assert!(kv_cache.hi > Bytes::ZERO);
}

#[test]
fn hostile_workloads_are_refused() {
    let llama = model(vec![], Some(architecture(32, 4096, 32, 8, Some(true))));
    for (context, batch, name) in
        [(Some(0), 1, "context"), (None, 0, "batch"), (Some(u64::MAX), 1, "context")]
    {
        match Workload::new(&llama, context, batch, KvDtype::F16) {
            Err(Error::Argument { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{other:?}"),
        }
    }
    let absurd = Workload::new(&llama, Some(1 << 32), 1 << 32, KvDtype::F16).unwrap();
    assert!(matches!(estimate(&llama, &absurd, generic()), Err(Error::Overflow { .. })));
    assert_eq!(Workload::new(&llama, None, 1, KvDtype::F16).unwrap().context, 4096);
    assert!("f12".parse::<KvDtype>().is_err());
}

fn gguf(dtype: Dtype) -> Change {
    Change::Weights(Scheme::Gguf(Gguf::of(dtype).unwrap()), Scope::All)
}

fn changes(remedy: &Remedy) -> Vec<Change> {
    remedy.changes.iter().map(|&(change, _)| change).collect()
}

fn phone() -> Device {
    Device {
        name: "phone".to_owned(),
        memory: gb(80),
        available: Availability::exact(gb(30)),
        raised: Some((Raise::Entitlement, Availability::exact(gb(60)))),
        is_discrete: false,
    }
}

#[test]
fn twelve_gigabytes_do_not_fit_in_eight_and_fewer_bits_do() {
    let model = Model::of_size("12 GB", gb(120)).unwrap();
    let verdict = fit(&model, &workload(&model, 4096, 1), generic(), &phone()).unwrap();
    assert_eq!(verdict.answer, Answer::No);
    assert!(verdict.short_by > gb(90));
    let first = &verdict.remedies[0];
    assert_eq!(
        changes(first),
        [Change::Device(Raise::Entitlement), gguf(Dtype::Q5_K)],
        "6 bits are too many"
    );
    assert_eq!(first.answer, Answer::Yes);
    assert_eq!(first.required.lo.get(), 12_000_000_000 / 16 * 11 / 2);
    assert_eq!(first.saves, verdict.required.best.saturating_sub(first.required.best));
    let sets: Vec<_> = verdict.remedies.iter().map(changes).collect();
    assert!(sets.contains(&vec![gguf(Dtype::Q2_K)]), "2 bits fit without asking");
}

#[test]
fn what_fits_needs_no_remedy_and_a_published_total_cannot_be_requantised() {
    let small = Model::of_size("small", gb(1)).unwrap();
    let verdict = fit(&small, &workload(&small, 4096, 1), generic(), &phone()).unwrap();
    assert_eq!((verdict.answer, verdict.short_by), (Answer::Yes, Bytes::ZERO));
    assert!(verdict.remedies.is_empty());
    let published = Model::published("table row", gb(40), gb(41), gb(42), true).unwrap();
    let verdict = fit(&published, &workload(&published, 4096, 1), generic(), &phone()).unwrap();
    assert_eq!(
        verdict.required,
        Interval {
            formula: "sum_of_parts".into(),
            ..estimate(&published, &workload(&published, 1, 1), generic()).unwrap().weights
        }
    );
    let sets: Vec<_> = verdict.remedies.iter().map(changes).collect();
    assert_eq!(sets, [[Change::Device(Raise::Entitlement)]]);
}

#[test]
fn a_long_context_is_shortened_before_weights_are_crushed() {
    let llama =
        model(vec![matrix("w", Dtype::F16, 1 << 20, 1024)], Some(architecture(32, 4096, 32, 8, Some(true))));
    let verdict = fit(&llama, &workload(&llama, 65_536, 1), generic(), &phone()).unwrap();
    let first = verdict.remedies.first().expect("a remedy");
    assert_eq!(first.answer, Answer::Yes);
    let asked = changes(first);
    assert!(asked.iter().any(|change| matches!(change, Change::Context(_) | Change::KvCache(_))));
    assert!(!asked.iter().any(|change| matches!(change, Change::Weights(scheme, _) if scheme.bits() < 6)));
}

proptest! {
    /// An interval is in order, its total is the sum of its parts, and a verdict agrees with its numbers.
    #[test]
    fn verdicts_agree_with_their_numbers(
        layers in 1..40_usize,
        heads in 1..16_u64,
        context in 1..100_000_u64,
        batch in 1..64_u64,
        rows in 1..5_000_u64,
        offered in 1..5_000_000_000_u64,
        is_decoder: Option<bool>,
    ) {
        let model = model(
            vec![matrix("w", Dtype::F16, rows, 512)],
            Some(architecture(layers, heads * 64, heads, heads, is_decoder)),
        );
        let workload = workload(&model, context, batch);
        let footprint = estimate(&model, &workload, generic()).unwrap();
        for (name, part) in footprint.parts() {
            prop_assert!(part.lo <= part.best && part.best <= part.hi, "{}", name);
        }
        let best: u64 = footprint.parts().iter().map(|(_, part)| part.best.get()).sum();
        prop_assert_eq!(footprint.total.best.get(), best);
        let device = Device {
            name: "d".to_owned(),
            memory: Bytes::new(offered),
            available: Availability::exact(Bytes::new(offered)),
            raised: None,
            is_discrete: true,
        };
        let verdict = fit(&model, &workload, generic(), &device).unwrap();
        prop_assert_eq!(verdict.answer == Answer::Yes, footprint.total.hi.get() <= offered);
        prop_assert_eq!(verdict.answer == Answer::No, footprint.total.lo.get() > offered);
        for remedy in verdict.remedies {
            prop_assert_eq!(remedy.answer == Answer::Yes, remedy.required.hi <= remedy.available.lo);
            prop_assert!(!remedy.changes.is_empty());
        }
    }
}
