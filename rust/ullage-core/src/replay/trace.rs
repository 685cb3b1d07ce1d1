//! What is replayed: models, and who asked for which when.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::table::{self, Row, wrong};
use crate::units::{Bytes, Time, clip, duration_from_secs};

/// A model of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedModel {
    /// Its name, unique in the trace.
    pub name: String,
    /// Bytes it takes in memory.
    pub bytes: Bytes,
    /// Seconds that a load takes when nothing else is loaded.
    pub load_s: f64,
    /// Whether it stays once loaded.
    pub is_pinned: bool,
}

/// A request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it comes.
    pub at: Time,
    /// The number of its model.
    pub model: usize,
    /// For how long it uses the model.
    pub duration: Duration,
}

/// Models, and requests in the order in which they come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    models: Vec<TracedModel>,
    requests: Vec<Request>,
}

impl Trace {
    /// Checks a trace and brings its requests into order; those of one instant keep theirs.
    ///
    /// # Errors
    /// [`Error::Problem`] naming `models[i]` or `requests[i]`: a name given twice, a load time that is none, a model
    /// that is not there.
    pub fn new(models: Vec<TracedModel>, mut requests: Vec<Request>) -> Result<Self> {
        let mut names = HashMap::with_capacity(models.len());
        for (index, model) in models.iter().enumerate() {
            if !model.load_s.is_finite() || model.load_s < 0.0 {
                let reason = format!("{} is not a finite, non-negative number of seconds", model.load_s);
                return Err(wrong(format!("models[{index}].load_s"), reason));
            }
            if let Some(before) = names.insert(model.name.as_str(), index) {
                let reason = format!("{:?} is the name of models[{before}] already", clip(&model.name));
                return Err(wrong(format!("models[{index}].model"), reason));
            }
        }
        if let Some(index) = requests.iter().position(|request| request.model >= models.len()) {
            let reason = format!("model {} of {}", requests[index].model, models.len());
            return Err(wrong(format!("requests[{index}].model"), reason));
        }
        requests.sort_by_key(|request| request.at);
        Ok(Self { models, requests })
    }

    /// Reads `model,bytes,load_s` and `time_s,model[,duration_s]`; other columns are passed over.
    ///
    /// # Errors
    /// [`Error::Problem`] naming the file (`models` or `requests`), the line and the column.
    pub fn parse(models: &[u8], requests: &[u8]) -> Result<Self> {
        let models = parse_models(models).map_err(|error| inside("models", error))?;
        let requests = parse_requests(requests, &models).map_err(|error| inside("requests", error))?;
        Self::new(models, requests)
    }

    /// The models, in the order given.
    #[must_use]
    pub fn models(&self) -> &[TracedModel] {
        &self.models
    }

    /// The requests, in the order of time.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Pins the models called `names`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn pin(&mut self, names: &[String]) -> Result<()> {
        for name in names {
            let model = self.models.iter_mut().find(|model| model.name == *name);
            model.ok_or_else(|| Error::UnknownModel { name: name.clone() })?.is_pinned = true;
        }
        Ok(())
    }

    /// When each model is asked for.
    pub(super) fn uses(&self) -> Vec<Vec<Time>> {
        let mut uses = vec![Vec::new(); self.models.len()];
        for request in &self.requests {
            uses[request.model].push(request.at);
        }
        uses
    }
}

/// Says in which of the two files the fault is.
fn inside(file: &str, error: Error) -> Error {
    match error {
        Error::Problem { field, reason } => wrong(format!("{file}, {field}"), reason),
        other => other,
    }
}

fn parse_models(content: &[u8]) -> Result<Vec<TracedModel>> {
    let table = table::open(table::text_of(content)?, &["model", "bytes", "load_s"])?;
    let (model, bytes, load) = (table.require("model")?, table.require("bytes")?, table.require("load_s")?);
    let mut lines = HashMap::new();
    let mut models = Vec::new();
    for row in table.rows() {
        let row = row?;
        let name = row.text(model).to_owned();
        if let Some(before) = lines.insert(name.clone(), row.line) {
            return Err(row.wrong("model", format!("{:?} stands on line {before} already", clip(&name))));
        }
        models.push(TracedModel {
            name,
            bytes: Bytes::new(row.whole(bytes, "bytes")?),
            load_s: seconds(&row, load, "load_s")?.as_secs_f64(),
            is_pinned: false,
        });
    }
    Ok(models)
}

fn parse_requests(content: &[u8], models: &[TracedModel]) -> Result<Vec<Request>> {
    let table = table::open(table::text_of(content)?, &["time_s", "model"])?;
    let (time, model, duration) =
        (table.require("time_s")?, table.require("model")?, table.find("duration_s")?);
    let numbers: HashMap<&str, usize> =
        models.iter().enumerate().map(|(number, model)| (model.name.as_str(), number)).collect();
    let mut requests = Vec::new();
    for row in table.rows() {
        let row = row?;
        let name = row.text(model);
        let Some(&number) = numbers.get(name) else {
            return Err(row.wrong("model", format!("{:?} is not among the models", clip(name))));
        };
        let at = Time::ZERO.saturating_add(seconds(&row, time, "time_s")?);
        let duration = duration.map_or(Ok(Duration::ZERO), |column| seconds(&row, column, "duration_s"))?;
        requests.push(Request { at, model: number, duration });
    }
    Ok(requests)
}

fn seconds(row: &Row, column: usize, name: &'static str) -> Result<Duration> {
    let text = row.text(column);
    let number: f64 =
        text.parse().map_err(|_| row.wrong(name, format!("{:?} is not a number of seconds", clip(text))))?;
    duration_from_secs(number, name).map_err(|_| {
        row.wrong(name, format!("{:?} is not a finite, non-negative number of seconds", clip(text)))
    })
}
