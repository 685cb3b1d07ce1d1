//! Instance files: what is read, and what is refused with its place.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::error::Error;

const SMALL: &str = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\n";

fn refused(content: &[u8]) -> (String, String) {
    match parse_csv(content) {
        Err(Error::Problem { field, reason }) => (field, reason),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(content)),
    }
}

#[test]
fn columns_come_in_any_order_among_others() {
    let plain = parse_csv(SMALL.as_bytes()).unwrap();
    assert_eq!(plain.ids, ["b1", "b2", "b3"]);
    assert_eq!(plain.buffers[1], buffer((3, 9, 4), 1));
    let text = "\u{feff}size, offset ,id,upper,lower,alignment\r\n\r\n4 KiB,0,\"a, \"\"b\"\"\", 9 ,-3,64\r\n";
    let read = parse_csv(text.as_bytes()).unwrap();
    assert_eq!(read.ids, ["a, \"b\""]);
    assert_eq!(read.buffers, [buffer((-3, 9, 4096), 64)]);
}

#[test]
fn faults_name_line_and_column() {
    for (text, place, what) in [
        ("", "file", "empty"),
        ("\n \n", "file", "empty"),
        ("id,lower,upper\n", "line 1, column size", "missing"),
        ("0,1,2,3\n", "line 1, column id", "missing"),
        ("id,lower,upper,size,size\n", "line 1, column size", "twice"),
        ("id,lower,upper,size\na,0,1\n", "line 2", "3 fields, the header has 4"),
        ("id,lower,upper,size\na,0,1,2,3\n", "line 2", "5 fields"),
        ("id,lower,upper,size\na,0,NaN,2\n", "line 2, column upper", "\"NaN\" is not a whole number"),
        ("id,lower,upper,size\na,,1,2\n", "line 2, column lower", "\"\" is not"),
        ("id,lower,upper,size\na,0,1.5,2\n", "line 2, column upper", "1.5"),
        ("id,lower,upper,size\na,0,9223372036854775808,2\n", "line 2, column upper", "64 bits"),
        ("id,lower,upper,size\n\na,0,1,-2\n", "line 3, column size", "-2"),
        ("id,lower,upper,size\na,0,1,nan\n", "line 2, column size", "nan"),
        ("id,lower,upper,size\na,0,1,\n", "line 2, column size", ""),
        ("id,lower,upper,size\na,5,5,2\n", "line 2", "empty"),
        ("id,lower,upper,size\na,5,4,2\n", "line 2", "[5, 4)"),
        ("id,lower,upper,size\na,0,1,2\nb,0,1,2\na,3,4,2\n", "line 4, column id", "\"a\" is taken by line 2"),
        ("id,lower,upper,size\n\"a,0,1,2\n", "line 2", "never closed"),
        ("id,lower,upper,size,alignment\na,0,1,2,0\n", "line 2", "alignment"),
        ("id,lower,upper,size,alignment\na,0,1,2,-8\n", "line 2, column alignment", "-8"),
    ] {
        let (field, reason) = refused(text.as_bytes());
        assert_eq!(field, place, "{text:?}: {reason}");
        assert!(reason.contains(what), "{reason:?}");
    }
    assert_eq!(refused(b"id,lower,upper,size\n\xff").0, "file");
}

#[test]
fn conditions_are_read() {
    let text = "id,lower,upper,size,offset,fixed,hint,alias,gaps\n\
                a,-9,9,4,7,-1,8,x,-8--5 3-5\nb,0,9,4,7,16,,,\nc,0,9,4,7,,-1,x, \n";
    let Instance { conditions, .. } = parse_csv(text.as_bytes()).unwrap();
    assert_eq!(conditions.fixed, [None, Some(Bytes::new(16)), None]);
    assert_eq!(conditions.hints, [Some(Bytes::new(8)), None, None]);
    assert_eq!(conditions.groups, [Some(0), None, Some(0)]);
    assert_eq!(conditions.gaps, [vec![(-8, -5), (3, 5)], vec![], vec![]]);
    for (row, place, what) in [
        ("a,0,9,4,x,,,", "line 2, column fixed", "\"x\" is not"),
        ("a,0,9,4,,-2,,", "line 2, column hint", "-2"),
        ("a,0,9,4,,,,3", "line 2, column gaps", "no gap"),
        ("a,0,9,4,,,,3-x", "line 2, column gaps", "no gap"),
        ("a,0,9,4,,,,3-5@0:2", "line 2, column gaps", "not modelled"),
    ] {
        let (field, reason) =
            refused(format!("id,lower,upper,size,fixed,hint,alias,gaps\n{row}\n").as_bytes());
        assert_eq!(field, place, "{row:?}: {reason}");
        assert!(reason.contains(what), "{reason:?}");
    }
}

#[test]
fn what_cannot_be_read_says_so() {
    assert!(matches!(read_instance(std::path::Path::new("/nonexistent.csv")), Err(Error::Io { .. })));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SMALL).unwrap();
    assert_eq!(read_instance(file.path()).unwrap(), parse_csv(SMALL.as_bytes()).unwrap());
    let huge = std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    huge.set_len((1 << 30) + 1).unwrap();
    assert!(matches!(read_instance(file.path()), Err(Error::Problem { field, .. }) if field == "file"));
}

#[test]
fn every_truncation_is_read_or_refused() {
    for end in 0..SMALL.len() {
        if let Ok(read) = parse_csv(&SMALL.as_bytes()[..end]) {
            assert_eq!(read.ids.len(), read.buffers.len());
            assert!(Problem::new(read.buffers, Some(read.ids), None).is_ok());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(at in 0..SMALL.len(), byte in any::<u8>(), tail in "[0-9a-z,.\"\n -]{0,40}") {
        let mut content = SMALL.as_bytes().to_vec();
        content[at] = byte;
        let _ = parse_csv(&content);
        let with_tail = format!("{SMALL}{tail}");
        if let Ok(read) = parse_csv(with_tail.as_bytes()) {
            prop_assert!(Problem::new(read.buffers, Some(read.ids), None).is_ok());
        }
    }

    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::vec((any::<i32>(), 1..1000_i64, any::<u32>(), "[ -~]{0,6}"), 0..20),
    ) {
        let mut text = String::from("id,lower,upper,size\n");
        let mut expected = Vec::new();
        for (index, (lower, length, size, name)) in rows.into_iter().enumerate() {
            let (lower, id) = (i64::from(lower), format!("{index}:{name}.", name = name.replace('"', "\"\"")));
            text.extend([format!("\"{id}\",{lower},{},{size}\n", lower + length)]);
            expected.push((id.replace("\"\"", "\""), buffer((lower, lower + length, u64::from(size)), 1)));
        }
        let read = parse_csv(text.as_bytes()).unwrap();
        prop_assert_eq!(read.ids.into_iter().zip(read.buffers).collect::<Vec<_>>(), expected);
    }
}
