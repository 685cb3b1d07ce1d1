use std::fs;
use std::path::Path;

use super::File;
use crate::error::{Error, Result};
use crate::model::{Format, Model};

/// Shard `number` of `count`, with one tensor of 32 bytes.
fn shard(number: u32, count: u32) -> File {
    let file = File::new("llama").number("split.no", number).number("split.count", count);
    file.number("split.tensors.count", count).tensor(&format!("blk.{number}.w"), &[8], 0, 0).data(32)
}

fn write(directory: &Path, shards: &[u32], count: u32) {
    for &number in shards {
        let name = format!("tiny-{:05}-of-{count:05}.gguf", number + 1);
        fs::write(directory.join(name), shard(number, count).bytes()).unwrap();
    }
}

fn reason(outcome: Result<Model>) -> String {
    match outcome {
        Err(Error::ModelFile { reason, .. }) => reason,
        other => panic!("expected a fault in a file, found {other:?}"),
    }
}

#[test]
fn any_shard_and_their_directory_open_the_whole_set() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &[0, 1, 2], 3);
    let all: u64 =
        fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    for path in ["", "tiny-00001-of-00003.gguf", "tiny-00003-of-00003.gguf"] {
        let model = Model::open(&directory.path().join(path)).unwrap();
        let names: Vec<&str> = model.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["blk.0.w", "blk.1.w", "blk.2.w"]);
        assert_eq!((model.file_bytes.get(), model.format), (all, Some(Format::Gguf)));
        assert!(path.is_empty() || model.name == "tiny", "{}", model.name);
    }
}

#[test]
fn sets_that_do_not_belong_together_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &[0, 2], 3);
    assert!(reason(Model::open(directory.path())).contains("00002-of-00003.gguf\" is missing"));
    let second = directory.path().join("tiny-00002-of-00003.gguf");
    for (content, fragment) in [
        (shard(2, 3), "its name says 1"),
        (shard(1, 4), "its name says 3"),
        (File::new("llama"), "nothing"),
        (shard(1, 3).tensor("more", &[1], 0, 32).data(36), "hold 4 tensors"),
    ] {
        fs::write(&second, content.bytes()).unwrap();
        let reason = reason(Model::open(directory.path()));
        assert!(reason.contains(fragment), "{reason}");
    }
    let twice = File::new("llama")
        .number("split.no", 1)
        .number("split.count", 3)
        .tensor("blk.0.w", &[8], 0, 0)
        .data(32);
    fs::write(&second, twice.bytes()).unwrap();
    assert!(reason(Model::open(directory.path())).contains("two shards"));
    fs::rename(&second, directory.path().join("other.gguf")).unwrap();
    assert!(reason(Model::open(directory.path())).contains("not one set"));
    fs::rename(directory.path().join("tiny-00001-of-00003.gguf"), directory.path().join("first.gguf"))
        .unwrap();
    assert!(reason(Model::open(&directory.path().join("first.gguf"))).contains("does not end as"));
}

#[test]
fn a_directory_with_one_file_opens_it_and_content_decides_what_a_file_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("model.gguf"), shard(0, 1).bytes()).unwrap();
    let model = Model::open(directory.path()).unwrap();
    let name = directory.path().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(model.name, name);
    assert_eq!(Model::open(&directory.path().join("model.gguf")).unwrap().name, name);
    fs::write(directory.path().join("x.bin"), shard(0, 1).bytes()).unwrap();
    assert_eq!(Model::open(&directory.path().join("x.bin")).unwrap().format, Some(Format::Gguf));
    // A name like that of a shard does not make it one.
    fs::write(directory.path().join("x-00001-of-00002.gguf"), File::new("llama").bytes()).unwrap();
    assert_eq!(Model::open(&directory.path().join("x-00001-of-00002.gguf")).unwrap().tensors.len(), 0);
}
