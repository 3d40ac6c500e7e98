//! What `cargo install gotrace` installs, without the feature that it takes.

use std::process::Command;

#[test]
fn without_its_feature_the_tool_says_how_to_get_it() {
    let tool = env!("CARGO_BIN_EXE_gotrace");
    for args in [&[][..], &["--help"], &["stat", "app.trace"]] {
        let output = Command::new(tool).args(args).output().expect("the tool");
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "gotrace: the tool was built without the feature `cli`: \
             cargo install gotrace --features cli\n"
        );
    }
}
