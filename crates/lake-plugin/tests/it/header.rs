//! The header and this crate describe the same structs.

use std::mem::offset_of;

use lake_plugin::abi::{self, LakeError, LakeHost, LakePlugin, LakeString};
use lake_plugin::arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use lake_plugin::{Code, Level};
use tempfile::TempDir;

use crate::c;

/// One assertion in C per field, and one for the size.
macro_rules! same {
    ($rust:ty, $c:literal, $($field:ident),+) => {{
        let mut lines = vec![format!(
            "_Static_assert(sizeof(struct {0}) == {1}, \"size of {0}\");",
            $c, size_of::<$rust>()
        )];
        $(lines.push(format!(
            "_Static_assert(offsetof(struct {0}, {1}) == {2}, \"{0}.{1}\");",
            $c, stringify!($field), offset_of!($rust, $field)
        ));)+
        lines
    }};
}

#[test]
fn sizes_offsets_and_numbers_are_those_of_the_header() {
    let mut lines = vec![
        "#include <stddef.h>".to_owned(),
        "#include \"lake_plugin.h\"".to_owned(),
        "#include \"lake_plugin.h\" /* twice does no harm */".to_owned(),
    ];
    lines.extend(same!(
        LakeString,
        "LakeString",
        data,
        length,
        release,
        private_data
    ));
    lines.extend(same!(LakeError, "LakeError", size, version, code, message));
    lines.extend(same!(
        LakeHost, "LakeHost", size, version, context, log, metric, cancelled
    ));
    lines.extend(same!(
        LakePlugin,
        "LakePlugin",
        size,
        version,
        context,
        describe,
        call_scalar,
        partition_open,
        partition_push,
        partition_finish,
        partition_close
    ));
    lines.extend(same!(
        FFI_ArrowArray,
        "ArrowArray",
        length,
        null_count,
        offset,
        n_buffers,
        n_children,
        buffers,
        children,
        dictionary,
        release,
        private_data
    ));
    // Arrow keeps the fields of its schema to itself, but not their number.
    lines.push(format!(
        "_Static_assert(sizeof(struct ArrowSchema) == {}, \"size of ArrowSchema\");",
        size_of::<FFI_ArrowSchema>()
    ));
    for (name, number) in [
        ("LAKE_PLUGIN_VERSION", i64::from(abi::VERSION)),
        ("LAKE_OK", abi::OK.into()),
        ("LAKE_INVALID_CALL", Code::InvalidCall.number().into()),
        ("LAKE_FAILED", Code::Failed.number().into()),
        ("LAKE_PANIC", Code::Panic.number().into()),
        ("LAKE_CANCELLED", Code::Cancelled.number().into()),
        ("LAKE_LOG_ERROR", Level::Error.number().into()),
        ("LAKE_LOG_WARN", Level::Warn.number().into()),
        ("LAKE_LOG_INFO", Level::Info.number().into()),
        ("LAKE_LOG_DEBUG", Level::Debug.number().into()),
    ] {
        lines.push(format!("_Static_assert({name} == {number}, \"{name}\");"));
    }
    lines.push("int lake_plugin_header_is_good;\n".to_owned());
    let directory = TempDir::new().unwrap();
    c::compile(directory.path(), &lines.join("\n"), &["-c"]);
}

#[test]
fn another_copy_of_arrows_structs_may_come_first() {
    let directory = TempDir::new().unwrap();
    let header = std::fs::read_to_string(c::include().join("lake_plugin.h")).unwrap();
    let start = header.find("#ifndef ARROW_C_DATA_INTERFACE").unwrap();
    let end = header.find("#endif /* ARROW_C_DATA_INTERFACE */").unwrap();
    let arrow = format!("#include <stdint.h>\n{}#endif\n", &header[start..end]);
    let source = format!("{arrow}#include \"lake_plugin.h\"\nint both_are_there;\n");
    c::compile(directory.path(), &source, &["-c"]);
}

#[test]
fn every_code_and_level_comes_back_from_its_number() {
    for code in [
        Code::InvalidCall,
        Code::Failed,
        Code::Panic,
        Code::Cancelled,
    ] {
        assert_eq!(Code::from_number(code.number()), code);
    }
    for level in [Level::Error, Level::Warn, Level::Info, Level::Debug] {
        assert_eq!(Level::from_number(level.number()), level);
    }
    assert_eq!(Code::from_number(-7), Code::Failed);
    assert_eq!(Level::from_number(99), Level::Debug);
}
