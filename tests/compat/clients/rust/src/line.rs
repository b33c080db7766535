//! The lines that both clients of this folder take and write (clients/remote.py tells the form).

use base64::{engine::general_purpose::STANDARD, Engine};
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

pub type Answer = Result<String, Box<dyn Error>>;
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A record to be sent.
pub struct Given {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

pub struct Command {
    pub verb: String,
    pub values: HashMap<String, String>,
    pub records: Vec<Given>,
}

impl Command {
    pub fn get(&self, name: &str) -> Result<&str, Box<dyn Error>> {
        Ok(self.values.get(name).ok_or_else(|| format!("no {name}"))?.as_str())
    }
}

fn unpack(text: &str) -> Option<Vec<u8>> {
    (text != "-").then(|| STANDARD.decode(text).expect("base64"))
}

pub fn pack(octets: Option<&[u8]>) -> String {
    octets.map_or("null".into(), |bytes| format!("\"{}\"", STANDARD.encode(bytes)))
}

pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\t'], " "))
}

fn given(text: &str) -> Given {
    let parts: Vec<&str> = text.split(';').collect();
    let headers = parts[3].split(',').filter(|h| !h.is_empty()).map(|header| {
        let (name, value) = header.split_once(':').expect("a header");
        (name.to_owned(), unpack(value))
    });
    Given {
        partition: parts[0].parse().expect("a partition"),
        key: unpack(parts[1]),
        value: unpack(parts[2]),
        headers: headers.collect(),
    }
}

pub fn parse(line: &str) -> Command {
    let mut words = line.split('\t');
    let verb = words.next().unwrap_or_default().to_owned();
    let mut command = Command { verb, values: HashMap::new(), records: Vec::new() };
    for word in words {
        let (name, value) = word.split_once('=').expect("NAME=VALUE");
        if name == "record" {
            command.records.push(given(value));
        } else {
            command.values.insert(name.to_owned(), value.to_owned());
        }
    }
    command
}

/// One answer's line.
pub fn told(answer: Answer) -> String {
    answer.unwrap_or_else(|error| format!("{{\"error\":{}}}", quoted(&error.to_string())))
}

/// A record that was read.
pub fn written(
    (partition, offset, timestamp): (i32, i64, i64),
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> String {
    let headers: Vec<String> =
        headers.iter().map(|(name, value)| format!("[{},{}]", quoted(name), pack(*value))).collect();
    format!(
        "{{\"partition\":{partition},\"offset\":{offset},\"timestamp\":{timestamp},\"key\":{},\"value\":{},\"headers\":[{}]}}",
        pack(key), pack(value), headers.join(",")
    )
}
