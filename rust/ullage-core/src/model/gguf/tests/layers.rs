use super::File;
use crate::model::{Architecture, Attention, Cache, Layer, Span, State};

struct Keyed {
    architecture: &'static str,
    file: File,
}

/// The keys of an architecture with so many layers, a width of 64 and 4 heads.
fn keyed(architecture: &'static str, layers: u32) -> Keyed {
    let keyed = Keyed { architecture, file: File::new(architecture) };
    keyed.number("block_count", layers).number("embedding_length", 64).number("attention.head_count", 4)
}

impl Keyed {
    fn number(self, key: &str, number: u32) -> Self {
        let file = self.file.number(&format!("{}.{key}", self.architecture), number);
        Self { file, ..self }
    }

    fn numbers(self, key: &str, numbers: &[u32]) -> Self {
        let file = self.file.numbers(&format!("{}.{key}", self.architecture), numbers);
        Self { file, ..self }
    }

    fn read(self) -> Architecture {
        self.file.read().unwrap().architecture.unwrap()
    }

    fn layers(self) -> Vec<Layer> {
        self.read().layers
    }
}

fn heads(kv_heads: u64, size: u64) -> Attention {
    Attention::Heads { kv_heads, key: size, value: size }
}

fn full(kv_heads: u64) -> Layer {
    Layer::attending(Span::All, heads(kv_heads, 16))
}

/// Which layers have a window.
fn windowed(layers: &[Layer]) -> Vec<bool> {
    layers.iter().map(|layer| !matches!(layer.cache, Some(Cache { span: Span::All, .. }))).collect()
}

const NOTHING: Layer = Layer::keeping_nothing();

#[test]
fn heads_and_their_sizes_have_the_defaults_of_the_runtime() {
    assert_eq!(keyed("llama", 2).layers(), [full(4); 2]);
    assert_eq!(keyed("llama", 2).number("attention.head_count_kv", 1).layers(), [full(1); 2]);
    assert_eq!(
        keyed("deci", 3).numbers("attention.head_count_kv", &[2, 0, 1]).layers(),
        [full(2), full(0), full(1)]
    );
    let sized = keyed("llama", 1).number("attention.key_length", 24).number("attention.value_length", 8);
    let attention = Attention::Heads { kv_heads: 4, key: 24, value: 8 };
    assert_eq!(sized.layers(), [Layer::attending(Span::All, attention)]);
    // A window that the runtime does not use is none.
    assert_eq!(keyed("llama", 1).number("attention.sliding_window", 9).layers(), [full(4)]);
}

#[test]
fn windows_follow_the_pattern_of_the_file_or_of_the_architecture() {
    let window = |architecture, layers| keyed(architecture, layers).number("attention.sliding_window", 100);
    assert_eq!(windowed(&window("gemma2", 4).layers()), [true, false, true, false]);
    assert_eq!(windowed(&window("gemma3", 6).layers()), [true, true, true, true, true, false]);
    assert_eq!(windowed(&window("smallthinker", 5).layers()), [false, true, true, true, false]);
    assert_eq!(windowed(&window("exaone4", 4).layers()), [false; 4], "only with 64 layers");
    assert_eq!(windowed(&window("exaone4", 64).layers())[..4], [true, true, true, false]);
    assert_eq!(windowed(&keyed("gemma3", 4).layers()), [false; 4]);
    let scalar = window("gemma3", 4).number("attention.sliding_window_pattern", 2);
    assert_eq!(windowed(&scalar.layers()), [true, false, true, false]);
    let listed = window("gemma3", 3).numbers("attention.sliding_window_pattern", &[0, 0, 1]);
    assert_eq!(windowed(&listed.layers()), [false, false, true]);
    let missing = window("gemma4", 2).layers();
    assert!(missing.iter().all(|layer| !layer.is_known), "the list is required");
    let spans = |layers: Vec<Layer>| layers[0].cache.unwrap().span;
    assert_eq!(spans(keyed("gemma2", 1).layers()), Span::Window(4096));
    assert_eq!(spans(window("gpt-oss", 1).layers()), Span::Window(100));
    assert_eq!(spans(window("llama4", 1).layers()), Span::Chunk(8192));
    assert_eq!(spans(keyed("llama4", 1).number("attention.sliding_window", 0).layers()), Span::All);
    let sizes = window("gemma4", 2).numbers("attention.sliding_window_pattern", &[1, 0]);
    let sizes = sizes.number("attention.key_length_swa", 8).number("attention.value_length_swa", 8).layers();
    assert_eq!(sizes, [Layer::attending(Span::Window(100), heads(4, 8)), full(4)]);
}

#[test]
fn layers_that_read_an_earlier_cache_have_none() {
    let layers = keyed("gemma3n", 30).number("attention.sliding_window", 512).layers();
    assert!(layers[..20].iter().all(|layer| layer.cache.is_some()));
    assert_eq!(layers[20..], [NOTHING; 10]);
    let listed = keyed("gemma4", 3).number("attention.shared_kv_layers", 2);
    assert_eq!(listed.layers(), [full(4), NOTHING, NOTHING]);
}

#[test]
fn latents_are_kept_where_the_file_says_so() {
    let legacy =
        keyed("deepseek2", 1).number("attention.head_count_kv", 1).number("attention.key_length", 576);
    let legacy = legacy.number("attention.value_length", 512).number("attention.kv_lora_rank", 512);
    let attention = Attention::Heads { kv_heads: 1, key: 576, value: 512 };
    let latent = Attention::Latent { rank: 512, rope: 64, heads: 4, key: 192, value: 128 };
    assert_eq!(legacy.layers(), [Layer::attending(Span::All, attention)]);
    let current = |architecture| {
        let keyed = keyed(architecture, 1).number("attention.head_count_kv", 1);
        let keyed = keyed.number("attention.key_length", 576).number("attention.kv_lora_rank", 512);
        let keyed = keyed.number("attention.indexer.key_length", 128);
        keyed.number("attention.key_length_mla", 192).number("attention.value_length_mla", 128)
    };
    assert_eq!(current("deepseek2").layers(), [Layer::attending(Span::All, latent)]);
    assert_eq!(current("deepseek32").layers(), [Layer { index: 128, ..Layer::attending(Span::All, latent) }]);
    let expanded = current("minicpm3").layers()[0].cache.unwrap().attention;
    assert!(matches!(expanded, Attention::Heads { kv_heads: 1, key: 576, .. }), "{expanded:?}");
}

#[test]
fn recurrent_layers_have_the_state_that_their_keys_give() {
    let ssm = |architecture, layers| {
        let keyed = keyed(architecture, layers).number("ssm.conv_kernel", 4).number("ssm.inner_size", 128);
        keyed.number("ssm.state_size", 16).number("ssm.group_count", 2)
    };
    let state = State { convolution: 3 * (128 + 2 * 2 * 16), recurrent: 128 * 16 };
    let mamba = Layer::recurrent(state);
    assert_eq!(ssm("mamba2", 2).layers(), [mamba; 2]);
    assert_eq!(ssm("falcon-h1", 1).layers(), [Layer { state: Some(state), ..full(4) }]);
    assert_eq!(
        ssm("granitehybrid", 2).numbers("attention.head_count_kv", &[0, 2]).layers(),
        [mamba, full(2)]
    );
    let nemotron = ssm("nemotron_h", 3).numbers("attention.head_count_kv", &[0, 0, 2]);
    let nemotron = nemotron.numbers("feed_forward_length", &[0, 99, 0]);
    assert_eq!(nemotron.layers(), [mamba, NOTHING, full(2)]);
    let next = ssm("qwen3next", 5).number("nextn_predict_layers", 1).layers();
    assert_eq!(next, [mamba, mamba, mamba, full(4), NOTHING]);
    let every = ssm("qwen35", 4).number("full_attention_interval", 2).layers();
    assert_eq!(every, [mamba, full(4), mamba, full(4)]);
    let short = keyed("lfm2", 2).number("shortconv.l_cache", 3).numbers("attention.head_count_kv", &[0, 1]);
    assert_eq!(short.layers(), [Layer::recurrent(State { convolution: 2 * 64, recurrent: 0 }), full(1)]);
    let rwkv = keyed("rwkv7", 1).number("wkv.head_size", 8).layers();
    assert_eq!(rwkv, [Layer::recurrent(State { convolution: 2 * 64, recurrent: 8 * 64 })]);
    let kda = keyed("kimi-linear", 1).number("kda.head_dim", 8).number("attention.head_count_kv", 0).layers();
    assert_eq!(kda, [Layer::recurrent(State { convolution: 3 * 3 * 4 * 8, recurrent: 8 * 8 * 4 })]);
}

#[test]
fn encoders_and_diffusion_keep_nothing_and_say_so() {
    for architecture in ["bert", "nomic-bert", "modern-bert", "gemma-embedding", "llada"] {
        let read = keyed(architecture, 2).read();
        assert_eq!((read.is_decoder, &read.layers[..]), (Some(false), &[NOTHING; 2][..]), "{architecture}");
    }
    assert_eq!(keyed("t5encoder", 1).read().is_decoder, Some(false));
    assert_eq!(keyed("t5", 1).read().is_decoder, Some(true));
    let tower =
        File::new("clip").number("clip.vision.block_count", 3).number("clip.vision.embedding_length", 64);
    let tower = tower.read().unwrap().architecture.unwrap();
    assert_eq!((tower.is_decoder, tower.hidden, tower.layers.len()), (Some(false), 64, 3));
}

#[test]
fn an_architecture_that_is_not_known_attends_in_full_with_a_note() {
    let contents = keyed("brand-new", 2).file.read().unwrap();
    assert_eq!(contents.architecture.as_ref().unwrap().layers, [full(4); 2]);
    assert_eq!(contents.architecture.unwrap().is_decoder, None);
    assert!(contents.notes[0].contains("\"brand-new\" is not known"), "{:?}", contents.notes);
    let hybrid = keyed("brand-new", 2).number("ssm.state_size", 4).number("ssm.inner_size", 8);
    let hybrid = hybrid.numbers("attention.head_count_kv", &[0, 2]).layers();
    assert!(hybrid.iter().all(|layer| !layer.is_known));
    assert_eq!(hybrid[0].state, Some(State { convolution: 0, recurrent: 32 }));
    assert_eq!((hybrid[0].cache, hybrid[1].state), (None, None));
}

#[test]
fn experts_weights_held_twice_and_weights_left_out() {
    let keyed = keyed("qwen3moe", 1).number("expert_count", 8).number("expert_used_count", 2);
    let keyed = keyed.number("feed_forward_length", 99).number("expert_feed_forward_length", 7);
    let read = keyed.read();
    assert_eq!((read.experts, read.experts_used, read.expert_intermediate, read.heads), (8, 2, 7, 4));
    let embedding = |architecture| File::new(architecture).tensor("token_embd.weight", &[4, 8], 0, 0);
    let twice = |file: File| {
        let read = file.data(128).read().unwrap().architecture.unwrap();
        (read.tied.get(), read.copied.get())
    };
    assert_eq!(twice(embedding("gemma3n")), (128, 128));
    assert_eq!(twice(embedding("gemma3")), (128, 0));
    assert_eq!(twice(embedding("bert")), (0, 0));
    assert_eq!(twice(embedding("gemma3n").tensor("output.weight", &[0], 0, 128)), (0, 0));
    let mtp = self::keyed("glm4moe", 2).number("nextn_predict_layers", 1).file;
    let mtp = mtp.tensor("blk.0.w", &[8], 0, 0).tensor("blk.1.w", &[16], 0, 32).data(96);
    assert_eq!(mtp.read().unwrap().architecture.unwrap().unloaded.get(), 64);
}
