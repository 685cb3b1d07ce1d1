use proptest::prelude::*;

use super::*;

const CSP: &str = "2\n10\n6 3\n5\t2\n";
const VBP: &str = "2\n10 20\n2\n6 1 3\n5 20 2\n";
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n\
    a,12000,16384,1,460,,LS\nb,12000,16384,1,460,V100M16|V100M32,BE\nc,88000,327680,8,1000,,LS\nd,1000,1024,0,0,,LS\n";
const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nn0,96000,393216,8,V100M32\nn1,32000,131072,0,\n\
    n2,96000,393216,8,V100M32\n";
const TYPES: &str = "id,vmTypeId,machineId,core,memory,hdd,ssd,nic\n0,7,0,0.5,0.25,,0.1,0.05\n\
    1,7,1,0.3333333333,0.57,0,0,1e-05\n2,8,0,1,1,0,0,0\n3,9,0,0.1,0.1,,,\n";
const REQUESTS: &str = "vmId,tenantId,vmTypeId,priority,starttime,endtime\n0,0,7,0,-3.5,2\n1,0,7,1,0.5,NULL\n\
    2,1,8,0,1.0,1.5\n3,1,9,0,3.0,\n4,1,7,0,-1,0.75\n";

fn place(error: Error) -> String {
    match error {
        Error::Problem { field, .. } => field,
        other => panic!("{other:?}"),
    }
}

fn item(demand: &[u64], count: u64) -> VectorItem {
    VectorItem { demand: demand.to_vec(), count }
}

#[test]
fn the_text_format_is_read_with_any_line_ends() {
    let instance = parse_bpp("\u{feff}3\r\n 10 \r\n6\r\n5\n4\n\n").unwrap();
    assert_eq!(instance.capacity, Some(Bytes::new(10)));
    assert_eq!(instance.sizes, [6, 5, 4].map(Bytes::new));
    assert_eq!(instance.names, None);
}

#[test]
fn a_csv_takes_units_and_commas_in_names() {
    let instance = parse_csv("name,size\nminilm, 90 MB\nllama, 8B, 16 GB\n").unwrap();
    assert_eq!(instance.names.unwrap()[1], "llama, 8B");
    assert_eq!(instance.sizes[1], Bytes::new(16_000_000_000));
    assert_eq!(instance.capacity, None);
}

#[test]
fn demands_are_kept_as_counts_and_listed_within_reason() {
    let instance = parse_csp(CSP).unwrap();
    assert_eq!(instance.items, [item(&[6], 3), item(&[5], 2)]);
    assert_eq!(instance.listed().unwrap().sizes, [6, 6, 6, 5, 5].map(Bytes::new));
    let many = parse_csp("1\n10\n1 18446744073709551615\n").unwrap();
    assert_eq!(place(many.listed().unwrap_err()), "file");
    assert_eq!(place(parse_vbp(VBP).unwrap().listed().unwrap_err()), "file");
}

#[test]
fn vectors_are_read_wherever_lines_end() {
    let instance = parse_vbp(VBP).unwrap();
    assert_eq!(instance.resources, ["0", "1"]);
    assert_eq!(instance.capacities, [10, 20]);
    assert_eq!(instance.items, [item(&[6, 1], 3), item(&[5, 20], 2)]);
    assert_eq!(parse_vbp("2 10 20 2 6 1 3\n5\n20\n2").unwrap(), instance);
    assert_eq!(parse_vbp(&format!("{VBP}BINARY{{0}};\nVTYPE{{I}};\n")).unwrap(), instance);
    assert_eq!(place(parse_vbp(&format!("{VBP}BINARY{{1}};\n")).unwrap_err()), "line 6");
}

#[test]
fn formats_are_told_by_name_and_else_by_content() {
    let vector = |text: &str, name: &str| match parse_content(text.as_bytes(), Path::new(name)).unwrap() {
        Content::Vector(instance) => instance.capacities.len(),
        Content::Items(_) => 0,
    };
    let single = "1\n10\n2\n6 3\n5 2\n";
    for name in ["a", "a.txt", "folder.vbp/a.dat"] {
        assert_eq!(vector("2\n10\n6\n5\n", name), 0);
        assert_eq!(vector(CSP, name), 1);
        assert_eq!(vector(VBP, name), 2);
        assert_eq!(vector(single, name), 1);
    }
    assert_eq!(parse_vbp(single).unwrap().items, [item(&[6], 3), item(&[5], 2)]);
    assert_eq!(vector(CSP, "a.CSP"), 1);
    assert_eq!(vector("0\n10\n", "a.csp"), 1);
    assert_eq!(vector("name,size\na,1\n", "a.CSV"), 0);
    assert!(parse_content(CSP.as_bytes(), Path::new("a.bpp")).is_err());
}

#[test]
fn openb_gives_an_instance_a_kind_of_node() {
    let found = parse_openb(PODS.as_bytes(), NODES.as_bytes()).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["96000-393216-8", "32000-131072-0"]);
    assert_eq!(found[0].1.capacities, [96000, 393_216, 8000]);
    let shared = item(&[12000, 16384, 460], 2);
    let whole = item(&[88000, 327_680, 8000], 1);
    let none = item(&[1000, 1024, 0], 1);
    assert_eq!(found[0].1.items, [shared, whole, none.clone()]);
    assert_eq!(found[1].1.items, [none]);
}

#[test]
fn azure_gives_what_is_alive_on_each_machine() {
    let found = parse_azure(TYPES.as_bytes(), REQUESTS.as_bytes(), 1.0).unwrap();
    let (name, first) = &found[0];
    assert_eq!((name.as_str(), first.capacities.as_slice()), ("0", [1_000_000; 5].as_slice()));
    let small = item(&[500_000, 250_000, 0, 100_000, 50_000], 2);
    assert_eq!(first.items, [small, item(&[1_000_000, 1_000_000, 0, 0, 0], 1)]);
    assert_eq!(found[1].1.items, [item(&[333_333, 570_000, 0, 0, 10], 2)]);
    let later = parse_azure(TYPES.as_bytes(), REQUESTS.as_bytes(), 90.0).unwrap();
    assert_eq!(later[0].1.items.iter().map(|item| item.count).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn faults_name_their_line() {
    type Reader = fn(&str) -> Option<Error>;
    let cases: [(Reader, &[(&str, &str)]); 6] = [
        (
            |text| parse_bpp(text).err(),
            &[
                ("", "file"),
                ("2\n", "file"),
                ("2\n10\n5\n", "file"),
                ("999999999999999999\n10\n5\n", "file"),
                ("-2\n10\n5\n", "line 1"),
                ("2\n0\n5\n5\n", "line 2"),
                ("2\n10\n5\n+5\n", "line 4"),
                ("2\n10\n\n5.5\n5\n", "line 4"),
                ("2\n10\n5\n5\n5\n", "line 5"),
                ("18446744073709551616\n10\n", "line 1"),
            ],
        ),
        (
            |text| parse_csv(text).err(),
            &[
                ("", "file"),
                ("a,1", "line 1"),
                ("name,size\na", "line 2"),
                ("name,size\na,1\nb,8G", "line 3"),
            ],
        ),
        (
            |text| parse_csp(text).err(),
            &[
                ("2\n10\n6 3\n", "file"),
                ("2\n10\n6 3\n5\n", "line 4"),
                ("2\n10\n6 3\n5 2 1\n", "line 4"),
                ("2\n0\n", "line 2"),
                ("1\n10\n6 -3\n", "line 3"),
                ("1\n10\n6 3\n\n5 2\n", "line 5"),
            ],
        ),
        (
            |text| parse_vbp(text).err(),
            &[
                ("", "file"),
                ("0\n", "line 1"),
                ("2\n10 0\n", "line 2"),
                ("18446744073709551615\n1\n", "file"),
                ("1\n10\n9999999999\n6 1\n", "file"),
                ("2\n10 20\n1\n6 x 3\n", "line 4"),
                ("2\n10 20\n1\n6 1 3 4\n", "line 4"),
            ],
        ),
        (
            |text| parse_openb(text.as_bytes(), NODES.as_bytes()).err(),
            &[
                ("", "pods, file"),
                ("name,cpu_milli\n", "pods, line 1, column memory_mib"),
                (
                    "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,x,0,0\n",
                    "pods, line 2, column memory_mib",
                ),
                (
                    "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,9999999999999999999,1000\n",
                    "pods, line 2, column num_gpu",
                ),
            ],
        ),
        (
            |text| parse_azure(text.as_bytes(), REQUESTS.as_bytes(), 1.0).err(),
            &[
                ("vmTypeId,machineId,core\n", "types, line 1, column memory"),
                ("vmTypeId,machineId,core,memory\n0,0,1.5,1\n", "types, line 2, column core"),
                ("vmTypeId,machineId,core,memory\n0,0,NaN,1\n", "types, line 2, column core"),
                ("vmTypeId,machineId,core,memory\n0,0,0.5\n", "types, line 2"),
            ],
        ),
    ];
    for (read, cases) in cases {
        for (text, expected) in cases {
            assert_eq!(place(read(text).expect(text)), *expected, "{text:?}");
        }
    }
    let endless = b"vmTypeId,starttime,endtime\n0,soon,1\n";
    let error = parse_azure(TYPES.as_bytes(), endless, 1.0).unwrap_err();
    assert_eq!(place(error), "requests, line 2, column starttime");
    let error = parse_openb(PODS.as_bytes(), b"sn,cpu_milli,memory_mib,gpu\nn,1,1\n").unwrap_err();
    assert_eq!(place(error), "nodes, line 2");
}

#[test]
fn what_cannot_be_read_says_so() {
    assert!(matches!(read_instance(Path::new("/nonexistent.bpp")), Err(Error::Io { .. })));
    let file = tempfile::NamedTempFile::with_suffix(".csp").unwrap();
    std::fs::write(file.path(), b"3\n\xff").unwrap();
    assert!(matches!(read_instance(file.path()), Err(Error::Problem { .. })));
    std::fs::write(file.path(), CSP).unwrap();
    assert_eq!(read_instance(file.path()).unwrap().sizes.len(), 5);
}

/// Everything that can be made of `content`; each a value or one error, and nothing larger than the content warrants.
fn read_all(content: &[u8]) {
    for name in ["a.bpp", "a.csp", "a.vbp", "a.csv", "a"] {
        match parse_content(content, Path::new(name)) {
            Ok(Content::Vector(instance)) => {
                let numbers = instance.items.iter().map(|item| item.demand.len()).sum::<usize>();
                assert!(numbers.max(instance.capacities.len()) <= content.len());
            }
            Ok(Content::Items(instance)) => assert!(instance.sizes.len() <= content.len()),
            Err(error) => assert!(matches!(error, Error::Problem { .. })),
        }
    }
    for found in [
        parse_openb(content, NODES.as_bytes()),
        parse_openb(PODS.as_bytes(), content),
        parse_azure(content, REQUESTS.as_bytes(), 1.0),
        parse_azure(TYPES.as_bytes(), content, 1.0),
    ] {
        match found {
            Ok(found) => {
                assert!(found.len() <= content.len().max(3));
                for (_, instance) in found {
                    for VectorItem { demand, count } in instance.items {
                        assert_eq!(demand.len(), instance.capacities.len());
                        assert!(count > 0);
                        assert!(demand.iter().zip(&instance.capacities).all(|(need, has)| need <= has));
                    }
                }
            }
            Err(error) => assert!(matches!(error, Error::Problem { .. })),
        }
    }
}

const SEEDS: [&str; 7] = [CSP, VBP, PODS, NODES, TYPES, REQUESTS, "name,size\na,1\nb,2 GB\n"];

#[test]
fn files_cut_at_every_byte_are_read_or_refused() {
    for seed in SEEDS {
        for end in 0..=seed.len() {
            read_all(&seed.as_bytes()[..end]);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a-z,.\n \"-]{0,60}") {
        read_all(text.as_bytes());
    }

    #[test]
    fn damaged_files_are_read_or_refused(
        seed in 0..SEEDS.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut content = SEEDS[seed].as_bytes().to_vec();
        for (place, byte) in flips {
            let place = place.index(content.len());
            content[place] = byte;
        }
        read_all(&content);
    }

    #[test]
    fn what_is_written_is_read(
        capacities in prop::collection::vec(1_u64.., 1..4),
        rows in prop::collection::vec((prop::collection::vec(any::<u64>(), 4), any::<u64>()), 0..9),
    ) {
        let items: Vec<VectorItem> =
            rows.iter().map(|(demand, count)| item(&demand[..capacities.len()], *count)).collect();
        let shown = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let head = format!("{}\n{}\n{}\n", capacities.len(), shown(&capacities), items.len());
        let lines: Vec<String> =
            items.iter().map(|item| format!("{} {}", shown(&item.demand), item.count)).collect();
        let lines = lines.join("\n");
        let read = parse_vbp(&format!("{head}{lines}")).unwrap();
        prop_assert_eq!(&read.capacities, &capacities);
        prop_assert_eq!(&read.items, &items);
        if capacities.len() == 1 {
            let csp = parse_csp(&format!("{}\n{}\n{lines}", items.len(), capacities[0])).unwrap();
            prop_assert_eq!(csp.items, items);
        }
    }
}
