//! Encoders of text: BERT and its kin.

use super::plan::Plan;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// Families of this file.
pub(super) const FAMILIES: [&str; 8] =
    ["bert", "camembert", "distilbert", "modernbert", "mpnet", "nomic_bert", "roberta", "xlm-roberta"];

/// What stands on top of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Top {
    /// The pooler, in the families that have one.
    Pooler,
    /// A head that predicts masked tokens; its matrix is the embedding.
    Masked,
    /// A class for the whole text, one of so many, or one for each token.
    Classes { labels: u64, of_text: bool },
}

struct Encoder<'a> {
    text: Settings<'a>,
    family: &'a str,
    vocabulary: u64,
    hidden: u64,
    inner: u64,
    count: u64,
    top: Top,
}

/// Adds the tensors of an encoder of `family`.
pub(super) fn add(
    plan: &mut Plan,
    root: Settings<'_>,
    family: &str,
    notes: &mut Vec<String>,
) -> Result<(), Fault> {
    let hidden = root.needed(&["hidden_size", "n_embd", "dim"])?;
    let inner = root.first(&["intermediate_size", "n_inner", "hidden_dim"])?;
    let top = top(root, notes)?;
    if family == "nomic_bert" && top != Top::Pooler {
        notes.push("the head of Nomic's encoder is not counted".to_owned());
    }
    let encoder = Encoder {
        text: root,
        family,
        vocabulary: root.needed(&["vocab_size"])?,
        hidden,
        inner: inner.unwrap_or_else(|| hidden.saturating_mul(4)),
        count: root.needed(&["num_hidden_layers", "n_layer", "n_layers"])?,
        top,
    };
    match family {
        "distilbert" => encoder.add_distilbert(plan),
        "modernbert" => encoder.add_modernbert(plan),
        "nomic_bert" => encoder.add_nomic(plan),
        "mpnet" => encoder.add_mpnet(plan),
        _ => encoder.add_bert(plan),
    }
}

fn top(root: Settings<'_>, notes: &mut Vec<String>) -> Result<Top, Fault> {
    let class = root.list("architectures").and_then(|classes| classes.first()?.as_str()).unwrap_or("Model");
    let labels = match root.section("id2label") {
        Some(labels) => labels.count(),
        None => root.number_or("num_labels", 2)?,
    };
    Ok(if class.ends_with("ForMaskedLM") || class.ends_with("ForPreTraining") {
        Top::Masked
    } else if class.ends_with("ForSequenceClassification") {
        Top::Classes { labels, of_text: true }
    } else if class.ends_with("ForTokenClassification") {
        Top::Classes { labels, of_text: false }
    } else {
        if !class.ends_with("Model") {
            notes.push(format!("the head of {} is not known and not counted", crate::units::clip(class)));
        }
        Top::Pooler
    })
}

impl Encoder<'_> {
    fn is_roberta(&self) -> bool {
        matches!(self.family, "roberta" | "xlm-roberta" | "camembert")
    }

    /// The name under which the encoder stands where a head stands beside it.
    fn stem(&self, name: &'static str) -> &'static str {
        if self.top == Top::Pooler { "" } else { name }
    }

    fn add_bert(&self, plan: &mut Plan) -> Result<(), Fault> {
        let hidden = self.hidden;
        let positions = self.text.needed(&["max_position_embeddings"])?;
        let types = self.text.number_or("type_vocab_size", 2)?;
        let stem = self.stem(if self.is_roberta() { "roberta" } else { "bert" });
        plan.within(stem, |plan| {
            plan.within("embeddings", |plan| {
                plan.embedding("word_embeddings", self.vocabulary, hidden);
                plan.embedding("position_embeddings", positions, hidden);
                plan.embedding("token_type_embeddings", types, hidden);
                plan.norm("LayerNorm", hidden, true);
            });
            plan.each("encoder.layer", self.count, |plan, _| {
                for name in ["query", "key", "value"] {
                    plan.linear(&format!("attention.self.{name}"), hidden, hidden, true);
                }
                plan.linear("attention.output.dense", hidden, hidden, true);
                plan.norm("attention.output.LayerNorm", hidden, true);
                self.add_feed(plan);
                Ok(())
            })?;
            let pools = matches!(self.top, Top::Pooler)
                || (!self.is_roberta() && matches!(self.top, Top::Classes { of_text: true, .. }));
            if pools {
                plan.dense("pooler.dense", hidden, hidden, true);
            }
            Ok::<_, Fault>(())
        })?;
        self.add_bert_top(plan);
        Ok(())
    }

    fn add_bert_top(&self, plan: &mut Plan) {
        let hidden = self.hidden;
        match self.top {
            Top::Pooler => {}
            Top::Masked if self.is_roberta() => plan.within("lm_head", |plan| {
                plan.tensor("bias", &[self.vocabulary]);
                plan.dense("dense", hidden, hidden, true);
                plan.norm("layer_norm", hidden, true);
            }),
            Top::Masked => plan.within("cls.predictions", |plan| {
                plan.tensor("bias", &[self.vocabulary]);
                plan.dense("transform.dense", hidden, hidden, true);
                plan.norm("transform.LayerNorm", hidden, true);
            }),
            Top::Classes { labels, of_text: true } if self.is_roberta() => {
                plan.dense("classifier.dense", hidden, hidden, true);
                plan.dense("classifier.out_proj", labels, hidden, true);
            }
            Top::Classes { labels, .. } => plan.dense("classifier", labels, hidden, true),
        }
    }

    fn add_feed(&self, plan: &mut Plan) {
        plan.linear("intermediate.dense", self.inner, self.hidden, true);
        plan.linear("output.dense", self.hidden, self.inner, true);
        plan.norm("output.LayerNorm", self.hidden, true);
    }

    fn add_mpnet(&self, plan: &mut Plan) -> Result<(), Fault> {
        let hidden = self.hidden;
        let positions = self.text.needed(&["max_position_embeddings"])?;
        let buckets = self.text.number_or("relative_attention_num_buckets", 32)?;
        let heads = self.text.needed(&["num_attention_heads"])?;
        plan.within(self.stem("mpnet"), |plan| {
            plan.embedding("embeddings.word_embeddings", self.vocabulary, hidden);
            plan.embedding("embeddings.position_embeddings", positions, hidden);
            plan.norm("embeddings.LayerNorm", hidden, true);
            plan.each("encoder.layer", self.count, |plan, _| {
                for name in ["q", "k", "v", "o"] {
                    plan.linear(&format!("attention.attn.{name}"), hidden, hidden, true);
                }
                plan.norm("attention.LayerNorm", hidden, true);
                self.add_feed(plan);
                Ok(())
            })?;
            plan.embedding("encoder.relative_attention_bias", buckets, heads);
            if self.top == Top::Pooler {
                plan.dense("pooler.dense", hidden, hidden, true);
            }
            Ok::<_, Fault>(())
        })?;
        match self.top {
            Top::Pooler => {}
            Top::Masked => {
                plan.tensor("lm_head.bias", &[self.vocabulary]);
                plan.dense("lm_head.dense", hidden, hidden, true);
                plan.norm("lm_head.layer_norm", hidden, true);
            }
            Top::Classes { labels, of_text: true } => {
                plan.dense("classifier.dense", hidden, hidden, true);
                plan.dense("classifier.out_proj", labels, hidden, true);
            }
            Top::Classes { labels, .. } => plan.dense("classifier", labels, hidden, true),
        }
        Ok(())
    }

    fn add_distilbert(&self, plan: &mut Plan) -> Result<(), Fault> {
        let hidden = self.hidden;
        let positions = self.text.needed(&["max_position_embeddings"])?;
        plan.within(self.stem("distilbert"), |plan| {
            plan.embedding("embeddings.word_embeddings", self.vocabulary, hidden);
            plan.embedding("embeddings.position_embeddings", positions, hidden);
            plan.norm("embeddings.LayerNorm", hidden, true);
            plan.each("transformer.layer", self.count, |plan, _| {
                for name in ["q_lin", "k_lin", "v_lin", "out_lin"] {
                    plan.linear(&format!("attention.{name}"), hidden, hidden, true);
                }
                plan.norm("sa_layer_norm", hidden, true);
                plan.linear("ffn.lin1", self.inner, hidden, true);
                plan.linear("ffn.lin2", hidden, self.inner, true);
                plan.norm("output_layer_norm", hidden, true);
                Ok(())
            })
        })?;
        match self.top {
            Top::Pooler => {}
            Top::Masked => {
                plan.dense("vocab_transform", hidden, hidden, true);
                plan.norm("vocab_layer_norm", hidden, true);
                plan.tensor("vocab_projector.bias", &[self.vocabulary]);
            }
            Top::Classes { labels, of_text } => {
                if of_text {
                    plan.dense("pre_classifier", hidden, hidden, true);
                }
                plan.dense("classifier", labels, hidden, true);
            }
        }
        Ok(())
    }

    /// Norms without bias unless the file says so; the first layer has none before its attention.
    fn add_modernbert(&self, plan: &mut Plan) -> Result<(), Fault> {
        let hidden = self.hidden;
        let has = |key: &str| self.text.flag(key) == Some(true);
        let (norm, attention, feed) = (has("norm_bias"), has("attention_bias"), has("mlp_bias"));
        plan.within(self.stem("model"), |plan| {
            plan.embedding("embeddings.tok_embeddings", self.vocabulary, hidden);
            plan.norm("embeddings.norm", hidden, norm);
            plan.each("layers", self.count, |plan, at| {
                if at > 0 {
                    plan.norm("attn_norm", hidden, norm);
                }
                plan.linear("attn.Wqkv", hidden.saturating_mul(3), hidden, attention);
                plan.linear("attn.Wo", hidden, hidden, attention);
                plan.norm("mlp_norm", hidden, norm);
                plan.linear("mlp.Wi", self.inner.saturating_mul(2), hidden, feed);
                plan.linear("mlp.Wo", hidden, self.inner, feed);
                Ok(())
            })?;
            plan.norm("final_norm", hidden, norm);
            Ok::<_, Fault>(())
        })?;
        if self.top == Top::Pooler {
            return Ok(());
        }
        plan.dense("head.dense", hidden, hidden, has("classifier_bias"));
        plan.norm("head.norm", hidden, norm);
        match self.top {
            Top::Classes { labels, .. } => plan.dense("classifier", labels, hidden, true),
            _ if self.text.flag("decoder_bias") != Some(false) => {
                plan.tensor("decoder.bias", &[self.vocabulary]);
            }
            _ => {}
        }
        Ok(())
    }

    /// As published: rotary positions, gated feed-forward, no bias in the matrices.
    fn add_nomic(&self, plan: &mut Plan) -> Result<(), Fault> {
        let hidden = self.hidden;
        let types = self.text.number_or("type_vocab_size", 2)?;
        let has = |key: &str| self.text.flag(key) == Some(true);
        plan.embedding("embeddings.word_embeddings", self.vocabulary, hidden);
        plan.embedding("embeddings.token_type_embeddings", types, hidden);
        plan.norm("emb_ln", hidden, true);
        plan.each("encoder.layers", self.count, |plan, _| {
            plan.linear("attn.Wqkv", hidden.saturating_mul(3), hidden, has("qkv_proj_bias"));
            plan.linear("attn.out_proj", hidden, hidden, has("qkv_proj_bias"));
            plan.linear("mlp.fc11", self.inner, hidden, has("mlp_fc1_bias"));
            plan.linear("mlp.fc12", self.inner, hidden, has("mlp_fc1_bias"));
            plan.linear("mlp.fc2", hidden, self.inner, has("mlp_fc2_bias"));
            plan.norm("norm1", hidden, true);
            plan.norm("norm2", hidden, true);
            Ok(())
        })
    }
}
