//! Where in the Python program a reservation was made.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use ullage_core::ledger::{Frame, Origin};

/// The innermost `most` frames of the caller; `None` where the interpreter has none.
#[cold]
pub(super) fn here(py: Python<'_>, most: usize) -> Option<Origin> {
    let read = || -> PyResult<Vec<Frame>> {
        let mut frame = py.import(intern!(py, "sys"))?.call_method0(intern!(py, "_getframe"))?;
        let mut frames = Vec::new();
        while !frame.is_none() && frames.len() < most {
            let module = frame.getattr(intern!(py, "f_globals"))?.call_method1("get", ("__name__",))?;
            if module.extract::<String>().is_ok_and(|name| name.starts_with("ullage.")) {
                frame = frame.getattr(intern!(py, "f_back"))?;
                continue;
            }
            let code = frame.getattr(intern!(py, "f_code"))?;
            let text = |name| -> PyResult<Arc<str>> { Ok(code.getattr(name)?.extract::<String>()?.into()) };
            frames.push(Frame {
                file: text(intern!(py, "co_filename"))?,
                line: frame.getattr(intern!(py, "f_lineno"))?.extract().unwrap_or(0),
                function: text(intern!(py, "co_qualname"))?,
            });
            frame = frame.getattr(intern!(py, "f_back"))?;
        }
        Ok(frames)
    };
    read().ok().map(Origin::from)
}

/// Frames as tuples of file, line and function.
pub(super) fn rows(origin: &[Frame]) -> Vec<(String, u32, String)> {
    origin.iter().map(|frame| (frame.file.to_string(), frame.line, frame.function.to_string())).collect()
}

/// Frames for a reader.
pub(super) fn described(origin: &[Frame]) -> String {
    let frames: Vec<String> = origin
        .iter()
        .map(|frame| format!("at {}:{} in {}", frame.file, frame.line, frame.function))
        .collect();
    frames.join(", called ")
}
