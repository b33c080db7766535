// The Java client against a broker; one line "ok NAME" for each part. usage: java Compat.java HOST:PORT TOPIC
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

public class Compat {
    static String bootstrap, topic;

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static KafkaProducer<String, String> producer(String codec) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("compression.type", codec);
        p.put("linger.ms", "1");
        p.put("delivery.timeout.ms", "30000");
        p.put("request.timeout.ms", "20000");
        return new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, String instance) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", group);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("session.timeout.ms", "10000");
        p.put("heartbeat.interval.ms", "500");
        if (instance != null) p.put("group.instance.id", instance);
        return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> c, int count) {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        long end = System.currentTimeMillis() + 30000;
        while (got.size() < count && System.currentTimeMillis() < end)
            c.poll(Duration.ofMillis(200)).forEach(got::add);
        check(got.size() == count, got.size() + " records of " + count);
        return got;
    }

    static void admin() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
            TopicDescription d = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            check(d.partitions().size() == 2, "two partitions");
            check(admin.describeCluster().nodes().get().size() == 1, "one node");
            check(admin.listTopics().names().get().contains(topic), "listed");
        }
        System.out.println("ok admin");
    }

    static void produce() throws Exception {
        int next = 0;
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (KafkaProducer<String, String> p = producer(codec)) {
                for (int i = 0; i < 100; i++, next++) {
                    ProducerRecord<String, String> r = new ProducerRecord<>(topic, 0, "k" + next, codec + next);
                    r.headers().add(new RecordHeader("h", "v".getBytes(StandardCharsets.UTF_8)));
                    long offset = p.send(r).get().offset();
                    check(offset == next, "offset " + offset + " for " + next);
                }
            }
        }
        try (KafkaProducer<String, String> p = producer("none")) {
            p.send(new ProducerRecord<>(topic, 1, null, null)).get();
            p.send(new ProducerRecord<>(topic, 1, null, "L".repeat(900000))).get();
        }
        System.out.println("ok produce");
    }

    static void groups() throws Exception {
        String group = "java-" + topic;
        try (KafkaConsumer<String, String> c = consumer(group, null)) {
            c.subscribe(List.of(topic));
            List<ConsumerRecord<String, String>> all = take(c, 502);
            check(all.stream().filter(r -> r.partition() == 0).count() == 500, "500 in partition 0");
            check(all.stream().anyMatch(r -> r.value() == null), "the null value");
            check(all.stream().anyMatch(r -> r.value() != null && r.value().length() == 900000), "the large value");
            c.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(490, "note"),
                                new TopicPartition(topic, 1), new OffsetAndMetadata(2)));
            OffsetAndMetadata kept = c.committed(Set.of(new TopicPartition(topic, 0))).get(new TopicPartition(topic, 0));
            check(kept.offset() == 490 && kept.metadata().equals("note"), "the committed offset and its note");
        }
        try (KafkaConsumer<String, String> c = consumer(group, "static-1")) {
            c.subscribe(List.of(topic));
            check(take(c, 10).get(0).offset() == 490, "resumes at 490");
            c.commitSync();
        }
        System.out.println("ok groups");
    }

    static void seek() {
        try (KafkaConsumer<String, String> c = consumer("seek-" + topic, null)) {
            TopicPartition tp = new TopicPartition(topic, 0);
            c.assign(List.of(tp));
            c.seek(tp, 250);
            check(c.poll(Duration.ofSeconds(10)).iterator().next().offset() == 250, "seek by offset");
            check(c.endOffsets(List.of(tp)).get(tp) == 500 && c.beginningOffsets(List.of(tp)).get(tp) == 0, "ends");
            check(c.offsetsForTimes(Map.of(tp, 0L)).get(tp).offset() == 0, "seek by time");
        }
        System.out.println("ok seek");
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        topic = args[1];
        admin();
        produce();
        groups();
        seek();
    }
}
