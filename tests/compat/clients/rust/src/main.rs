//! rskafka as a process: one command a line in, one line of JSON out (clients/remote.py tells the form).
//! It has no groups and no idempotent producer, so these verbs are not here.

use chrono::{DateTime, TimeZone, Utc};
use line::{parse, quoted, told, Answer, Command, Given, PATIENCE};
use rskafka::client::partition::{Compression, OffsetAt, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

fn record_of(given: Given) -> Record {
    let headers = given.headers.into_iter().map(|(name, value)| (name, value.unwrap_or_default()));
    Record { key: given.key, value: given.value, headers: headers.collect(), timestamp: Utc::now() }
}

fn written(partition: i32, found: &RecordAndOffset) -> String {
    let record = &found.record;
    let headers: Vec<(&str, Option<&[u8]>)> =
        record.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice()))).collect();
    line::written(
        (partition, found.offset, record.timestamp.timestamp_millis()),
        record.key.as_deref(), record.value.as_deref(), &headers,
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
    for given in command.records {
        by_partition.entry(given.partition.max(0)).or_default().push(record_of(given));
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
    let command = parse(line);
    match command.verb.as_str() {
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
        verb => Err(format!("no verb {verb}").into()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).ok_or("usage: compat HOST:PORT")?;
    let client = ClientBuilder::new(vec![bootstrap.clone()]).build().await?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = tokio::time::timeout(PATIENCE, obey(&client, &bootstrap, &line)).await;
        println!("{}", told(answer.unwrap_or_else(|_| Err("no answer in time".into()))));
    }
    Ok(())
}
