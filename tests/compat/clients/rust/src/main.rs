//! rskafka as a process: one command a line in, one line of JSON out (clients/remote.py tells the form).
//! It has no groups and no idempotent producer, so these verbs are not here.

use base64::{engine::general_purpose::STANDARD, Engine};
use chrono::{DateTime, TimeZone, Utc};
use rskafka::client::partition::{Compression, OffsetAt, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io::BufRead;
use std::time::{Duration, Instant};

type Answer = Result<String, Box<dyn Error>>;
const PATIENCE: Duration = Duration::from_secs(20);

struct Command {
    values: HashMap<String, String>,
    records: Vec<(i32, Record)>,
}

fn unpack(text: &str) -> Option<Vec<u8>> {
    (text != "-").then(|| STANDARD.decode(text).expect("base64"))
}

fn pack(octets: &Option<Vec<u8>>) -> String {
    octets.as_ref().map_or("null".into(), |bytes| format!("\"{}\"", STANDARD.encode(bytes)))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\t'], " "))
}

fn record_of(text: &str) -> (i32, Record) {
    let parts: Vec<&str> = text.split(';').collect();
    let mut headers = BTreeMap::new();
    for header in parts[3].split(',').filter(|h| !h.is_empty()) {
        let (name, value) = header.split_once(':').expect("a header");
        headers.insert(name.to_owned(), unpack(value).unwrap_or_default());
    }
    let record = Record { key: unpack(parts[1]), value: unpack(parts[2]), headers, timestamp: Utc::now() };
    (parts[0].parse().expect("a partition"), record)
}

fn parse(line: &str) -> (String, Command) {
    let mut words = line.split('\t');
    let verb = words.next().unwrap_or_default().to_owned();
    let mut command = Command { values: HashMap::new(), records: Vec::new() };
    for word in words {
        let (name, value) = word.split_once('=').expect("NAME=VALUE");
        if name == "record" {
            command.records.push(record_of(value));
        } else {
            command.values.insert(name.to_owned(), value.to_owned());
        }
    }
    (verb, command)
}

fn written(partition: i32, found: &RecordAndOffset) -> String {
    let headers: Vec<String> = found.record.headers.iter()
        .map(|(name, value)| format!("[{},{}]", quoted(name), pack(&Some(value.clone()))))
        .collect();
    format!(
        "{{\"partition\":{partition},\"offset\":{},\"timestamp\":{},\"key\":{},\"value\":{},\"headers\":[{}]}}",
        found.offset, found.record.timestamp.timestamp_millis(), pack(&found.record.key),
        pack(&found.record.value), headers.join(",")
    )
}

async fn metadata(client: &Client, bootstrap: &str) -> Answer {
    let topics: Vec<String> = client.list_topics().await?.iter()
        .map(|topic| format!("{}:{}", quoted(&topic.name), topic.partitions.len()))
        .collect();
    // The library does not tell the brokers' addresses; that it reached them by these is shown by produce.
    Ok(format!("{{\"brokers\":[{}],\"topics\":{{{}}}}}", quoted(bootstrap), topics.join(",")))
}

async fn produce(client: &Client, command: Command) -> Answer {
    let compression = match command.values["codec"].as_str() {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::NoCompression,
    };
    let mut by_partition: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    for (partition, record) in command.records {
        by_partition.entry(partition.max(0)).or_default().push(record);
    }
    for (partition, records) in by_partition {
        client.partition_client(command.values["topic"].as_str(), partition, UnknownTopicHandling::Retry).await?
            .produce(records, compression).await?;
    }
    Ok("{}".into())
}

async fn consume(client: &Client, command: Command) -> Answer {
    let partition: i32 = command.values["partition"].parse()?;
    let count: usize = command.values["count"].parse()?;
    let start = command.values["start"].as_str();
    let only = start.strip_prefix("only:"); // an offset that must be there, in a topic that is there
    let unknown = if only.is_some() { UnknownTopicHandling::Error } else { UnknownTopicHandling::Retry };
    let reader = client.partition_client(command.values["topic"].as_str(), partition, unknown).await?;
    let mut offset = match start.strip_prefix("time:") {
        Some(ms) => {
            let at: DateTime<Utc> = Utc.timestamp_millis_opt(ms.parse()?).single().ok_or("a bad time")?;
            reader.get_offset(OffsetAt::Timestamp(at)).await?
        }
        None if start == "earliest" => reader.get_offset(OffsetAt::Earliest).await?,
        None => only.unwrap_or(start).parse()?,
    };
    let begun = Instant::now();
    let mut records = Vec::new();
    while records.len() < count {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{} records of {count}", records.len()).into());
        }
        let (found, _) = reader.fetch_records(offset, 1..2_000_000, 100).await?;
        for record in found.iter().filter(|r| r.offset >= offset).take(count - records.len()) {
            records.push(written(partition, record));
        }
        offset = found.last().map_or(offset, |last| last.offset + 1);
    }
    Ok(format!("{{\"records\":[{}]}}", records.join(",")))
}

async fn obey(client: &Client, bootstrap: &str, line: &str) -> Answer {
    let (verb, command) = parse(line);
    match verb.as_str() {
        "metadata" => metadata(client, bootstrap).await,
        "create" => {
            let partitions = command.values["partitions"].parse()?;
            client.controller_client()?.create_topic(command.values["topic"].as_str(), partitions, 1, 5000).await?;
            Ok("{}".into())
        }
        "delete" => {
            client.controller_client()?.delete_topic(command.values["topic"].as_str(), 5000).await?;
            Ok("{}".into())
        }
        "produce" => produce(client, command).await,
        "consume" => consume(client, command).await,
        _ => Err(format!("no verb {verb}").into()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).ok_or("usage: compat HOST:PORT")?;
    let client = ClientBuilder::new(vec![bootstrap.clone()]).build().await?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match tokio::time::timeout(PATIENCE, obey(&client, &bootstrap, &line)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => format!("{{\"error\":{}}}", quoted(&error.to_string())),
            Err(_) => "{\"error\":\"no answer in time\"}".into(),
        };
        println!("{answer}");
    }
    Ok(())
}
