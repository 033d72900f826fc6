//! The stable codes and their statuses against the golden list: renaming one is a visible change.
//!
//! `COVIRT_BLESS=1 cargo test --test wire` writes the list anew.

use covirt::doors::status_of;
use covirt::model::Code;

#[test]
fn every_code_has_the_status_that_the_golden_list_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wire/codes.txt");
    let lines = Code::ALL.iter().map(|code| format!("{} {code}\n", status_of(*code).as_u16()));
    let now: String = lines.collect();
    if std::env::var_os("COVIRT_BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wire")).expect("make the folder");
        std::fs::write(path, &now).expect("write the list");
    }
    let golden = std::fs::read_to_string(path).expect("read the list");
    assert_eq!(now, golden, "the codes have changed; COVIRT_BLESS=1 writes the list anew");
}
