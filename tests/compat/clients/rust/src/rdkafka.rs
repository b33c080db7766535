//! The rdkafka crate, with the librdkafka that it builds, as a process: one command a line in, one line of JSON out
//! (clients/remote.py tells the form). usage: compat-rdkafka HOST:PORT

use line::{parse, quoted, told, Answer, Command, PATIENCE};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(100);
const POLL_MAX: usize = 100;

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn written(found: &BorrowedMessage) -> String {
    let headers: Vec<(&str, Option<&[u8]>)> =
        found.headers().map(|all| all.iter().map(|h| (h.key, h.value)).collect()).unwrap_or_default();
    let timestamp = found.timestamp().to_millis().unwrap_or(-1);
    line::written((found.partition(), found.offset(), timestamp), found.key(), found.payload(), &headers)
}

// -- admin

/// Requests about topics are answered topic by topic.
fn all_done<E: std::fmt::Debug>(answers: Vec<Result<String, E>>) -> Answer {
    for answer in answers {
        answer.map_err(|error| format!("{error:?}"))?;
    }
    Ok("{}".into())
}

async fn configs(admin: &AdminClient<DefaultClientContext>, topic: &str) -> Answer {
    let answers = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &AdminOptions::new()).await?;
    let mut pairs = Vec::new();
    for answer in answers {
        for entry in answer.map_err(|error| format!("{error:?}"))?.entries {
            let value = entry.value.as_deref().map_or("null".into(), quoted);
            pairs.push(format!("{}:{value}", quoted(&entry.name)));
        }
    }
    Ok(format!("{{\"configs\":{{{}}}}}", pairs.join(",")))
}

async fn administer(bootstrap: &str, command: &Command) -> Answer {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let topic = command.get("topic")?;
    match command.verb.as_str() {
        "create" => {
            let partitions = command.get("partitions")?.parse()?;
            let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
            all_done(admin.create_topics(&[wanted], &options).await?)
        }
        "grow" => {
            let wanted = NewPartitions::new(topic, command.get("partitions")?.parse()?);
            all_done(admin.create_partitions(&[wanted], &options).await?)
        }
        "delete" => all_done(admin.delete_topics(&[topic], &options).await?),
        "configs" => configs(&admin, topic).await,
        _ => {
            let changed = AlterConfig::new(ResourceSpecifier::Topic(topic));
            let changed = changed.set(command.get("name")?, command.get("value")?);
            for answer in admin.alter_configs(&[changed], &AdminOptions::new()).await? {
                answer.map_err(|(_, error)| format!("{error:?}"))?;
            }
            Ok("{}".into())
        }
    }
}

fn metadata(bootstrap: &str) -> Answer {
    let consumer: BaseConsumer = config(bootstrap).create()?;
    let found = consumer.fetch_metadata(None, PATIENCE)?;
    let brokers: Vec<String> =
        found.brokers().iter().map(|b| quoted(&format!("{}:{}", b.host(), b.port()))).collect();
    let topics: Vec<String> =
        found.topics().iter().map(|t| format!("{}:{}", quoted(t.name()), t.partitions().len())).collect();
    Ok(format!("{{\"brokers\":[{}],\"topics\":{{{}}}}}", brokers.join(","), topics.join(",")))
}

// -- records

#[derive(Clone, Default)]
struct Failures(Arc<Mutex<Vec<String>>>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            self.0.lock().expect("failures").push(error.to_string());
        }
    }
}

fn produce(bootstrap: &str, command: &Command) -> Answer {
    let failures = Failures::default();
    let producer: BaseProducer<Failures> = config(bootstrap)
        .set("acks", command.get("acks")?)
        .set("compression.type", command.get("codec")?)
        .set("enable.idempotence", command.get("idempotent")?)
        .set("linger.ms", "1")
        .create_with_context(failures.clone())?;
    for given in &command.records {
        let mut record: BaseRecord<[u8], [u8]> = BaseRecord::to(command.get("topic")?);
        record.key = given.key.as_deref();
        record.payload = given.value.as_deref();
        record.partition = (given.partition >= 0).then_some(given.partition);
        if !given.headers.is_empty() {
            let headers = given.headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
                headers.insert(Header { key: name, value: value.as_ref() })
            });
            record = record.headers(headers);
        }
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    let found = failures.0.lock().expect("failures").join(", ");
    if found.is_empty() { Ok("{}".into()) } else { Err(found.into()) }
}

/// "earliest", an offset, one of that there must be a record ("only:"), or the first at a time ("time:").
fn place(consumer: &BaseConsumer, command: &Command) -> Result<TopicPartitionList, Box<dyn Error>> {
    let (topic, partition) = (command.get("topic")?, command.get("partition")?.parse()?);
    let start = command.get("start")?;
    let mut list = TopicPartitionList::new();
    let offset = match start.split_once(':') {
        Some((_, number)) => Offset::Offset(number.parse()?),
        None if start == "earliest" => Offset::Beginning,
        None => Offset::Offset(start.parse()?),
    };
    list.add_partition_offset(topic, partition, offset)?;
    if start.starts_with("time:") {
        list = consumer.offsets_for_times(list, PATIENCE)?;
    }
    Ok(list)
}

fn consume(bootstrap: &str, command: &Command) -> Answer {
    let count: usize = command.get("count")?.parse()?;
    let strict = command.get("start")?.starts_with("only:");
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", "alone")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", if strict { "error" } else { "earliest" })
        .set("fetch.wait.max.ms", "100")
        .create()?;
    consumer.assign(&place(&consumer, command)?)?;
    let begun = Instant::now();
    let mut records = Vec::new();
    while records.len() < count {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{} records of {count}", records.len()).into());
        }
        if let Some(found) = consumer.poll(MOMENT) {
            records.push(written(&found?));
        }
    }
    Ok(format!("{{\"records\":[{}]}}", records.join(",")))
}

// -- groups

/// What a member's callbacks leave for its next poll.
struct Taken {
    partitions: Mutex<Vec<i32>>,
    commits: bool,
}

impl ClientContext for Taken {}

impl ConsumerContext for Taken {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        if self.commits {
            commit(consumer).expect("a commit while partitions are taken");
        }
        let mut partitions: Vec<i32> = list.elements().iter().map(|e| e.partition()).collect();
        partitions.sort();
        self.partitions.lock().expect("partitions").extend(partitions);
    }
}

type Membership = BaseConsumer<Taken>;

/// What was polled since the last time, which may be nothing.
fn commit(member: &Membership) -> Result<(), KafkaError> {
    match member.commit_consumer_state(CommitMode::Sync) {
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        done => done,
    }
}

fn join(bootstrap: &str, command: &Command) -> Result<Membership, Box<dyn Error>> {
    let mut settings = config(bootstrap);
    settings
        .set("group.id", command.get("group")?)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("heartbeat.interval.ms", "200")
        .set("session.timeout.ms", "6000")
        .set("fetch.wait.max.ms", "100");
    if let Some(instance) = command.values.get("instance") {
        settings.set("group.instance.id", instance);
    }
    if command.values.contains_key("cooperative") {
        settings.set("partition.assignment.strategy", "cooperative-sticky");
    }
    let taken = Taken { partitions: Mutex::default(), commits: command.values.contains_key("commit_on_revoke") };
    let member: Membership = settings.create_with_context(taken)?;
    member.subscribe(&[command.get("topic")?])?;
    Ok(member)
}

fn poll(member: &Membership) -> Answer {
    let mut records = Vec::new();
    while let Some(found) = member.poll(MOMENT) {
        records.push(written(&found?));
        if records.len() == POLL_MAX {
            break;
        }
    }
    let mut assignment: Vec<i32> = member.assignment()?.elements().iter().map(|e| e.partition()).collect();
    assignment.sort();
    let revoked = std::mem::take(&mut *member.context().partitions.lock().expect("partitions"));
    Ok(format!(
        "{{\"records\":[{}],\"assignment\":{assignment:?},\"revoked\":{revoked:?}}}",
        records.join(",")
    ))
}

async fn obey(bootstrap: &str, members: &mut HashMap<String, Membership>, line: &str) -> Answer {
    let command = parse(line);
    match command.verb.as_str() {
        "metadata" => metadata(bootstrap),
        "produce" => produce(bootstrap, &command),
        "consume" => consume(bootstrap, &command),
        "join" => {
            members.insert(command.get("member")?.into(), join(bootstrap, &command)?);
            Ok("{}".into())
        }
        "leave" => {
            drop(members.remove(command.get("member")?).ok_or("no such member")?);
            Ok("{}".into())
        }
        verb @ ("poll" | "commit") => {
            let member = members.get(command.get("member")?).ok_or("no such member")?;
            if verb == "poll" {
                return poll(member);
            }
            commit(member)?;
            Ok("{}".into())
        }
        "create" | "grow" | "delete" | "configs" | "configure" => administer(bootstrap, &command).await,
        verb => Err(format!("no verb {verb}").into()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).ok_or("usage: compat-rdkafka HOST:PORT")?;
    let mut members = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        println!("{}", told(obey(&bootstrap, &mut members, &line?).await));
    }
    Ok(())
}
