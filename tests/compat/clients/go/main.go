// Go clients as a process: one command a line in, one line of JSON out (clients/remote.py tells the form).
// usage: goclient franz|sarama|segmentio HOST:PORT
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	moment   = 50 * time.Millisecond
	patience = 20 * time.Second
	session  = 6 * time.Second // of members: the shortest that brokers take
)

// Header and Record are what travels between the test and a client, whatever the client calls it.
type Header struct {
	Name  string
	Value []byte
}

type Record struct {
	Partition int32
	Offset    int64
	Timestamp int64
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Start is where reading begins: the earliest record, an offset, or a time in milliseconds. Only an offset that must be
// there, in a topic that is there.
type Start struct {
	Earliest bool
	IsTime   bool
	Only     bool
	At       int64
}

type Metadata struct {
	Brokers []string       `json:"brokers"`
	Topics  map[string]int `json:"topics"`
}

type Options struct {
	Acks       string
	Codec      string
	Idempotent bool
}

// Client is one library behind the verbs of clients/remote.py.
type Client interface {
	Metadata() (Metadata, error)
	Create(topic string, partitions int32) error
	Grow(topic string, partitions int32) error
	Produce(topic string, records []Record, options Options) error
	Consume(topic string, partition int32, start Start, count int) ([]Record, error)
	Delete(topic string) error
	Configs(topic string) (map[string]string, error)
	Configure(topic, name, value string) error
	Join(group, topic string, options Membership) (Member, error)
}

// Membership is how a member takes part: the instance of a static one, and what it does when it loses partitions.
type Membership struct {
	Instance        string
	Cooperative     bool
	CommitsOnRevoke bool
}

// Moment is what a member has received, owns and has lost since the last one.
type Moment struct {
	Records []Record
	Owned   []int32
	Revoked []int32
}

// Member is one consumer of a group. Its library polls on goroutines of its own; Poll hands over what has come.
type Member interface {
	Poll() (Moment, error)
	Commit() error
	Leave() error
}

// gathered is what the goroutines of a member have received and own.
type gathered struct {
	mutex   sync.Mutex
	records []Record
	owned   map[int32]bool
	revoked []int32
	err     error
}

func newGathered() *gathered { return &gathered{owned: map[int32]bool{}} }

func (g *gathered) add(record Record) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.records = append(g.records, record)
}

func (g *gathered) own(partitions []int32, mine bool) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for _, partition := range partitions {
		if mine {
			g.owned[partition] = true
		} else {
			delete(g.owned, partition)
			g.revoked = append(g.revoked, partition)
		}
	}
}

func (g *gathered) fail(err error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.err == nil {
		g.err = err
	}
}

func (g *gathered) take() (Moment, error) {
	time.Sleep(moment)
	g.mutex.Lock()
	defer g.mutex.Unlock()
	now := Moment{Records: g.records, Owned: []int32{}, Revoked: append([]int32{}, g.revoked...)}
	g.records, g.revoked = nil, nil
	for partition := range g.owned {
		now.Owned = append(now.Owned, partition)
	}
	sort.Slice(now.Owned, func(a, b int) bool { return now.Owned[a] < now.Owned[b] })
	return now, g.err
}

/* ---- the form of commands and answers ---- */

type command struct {
	verb    string
	values  map[string]string
	records []Record
}

func unpack(text string) []byte {
	if text == "-" {
		return nil
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return decoded
}

func parseRecord(text string) Record {
	parts := strings.Split(text, ";")
	partition, err := strconv.Atoi(parts[0])
	if err != nil {
		panic(err)
	}
	record := Record{Partition: int32(partition), Key: unpack(parts[1]), Value: unpack(parts[2])}
	if parts[3] != "" {
		for _, header := range strings.Split(parts[3], ",") {
			name, value, _ := strings.Cut(header, ":")
			record.Headers = append(record.Headers, Header{name, unpack(value)})
		}
	}
	return record
}

func parse(line string) command {
	words := strings.Split(line, "\t")
	c := command{verb: words[0], values: map[string]string{}}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		if name == "record" {
			c.records = append(c.records, parseRecord(value))
		} else {
			c.values[name] = value
		}
	}
	return c
}

func (c command) number(name string) int64 {
	n, err := strconv.ParseInt(c.values[name], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (c command) start() Start {
	text := c.values["start"]
	if text == "earliest" {
		return Start{Earliest: true}
	}
	kind, at, found := strings.Cut(text, ":")
	if !found {
		return Start{At: c.number("start")}
	}
	number, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		panic(err)
	}
	return Start{IsTime: kind == "time", Only: kind == "only", At: number}
}

func written(records []Record) []map[string]any {
	out := []map[string]any{}
	for _, r := range records {
		headers := [][2]any{}
		for _, h := range r.Headers {
			headers = append(headers, [2]any{h.Name, h.Value})
		}
		out = append(out, map[string]any{
			"partition": r.Partition, "offset": r.Offset, "timestamp": r.Timestamp,
			"key": r.Key, "value": r.Value, "headers": headers,
		})
	}
	return out
}

func obey(client Client, members map[string]Member, c command) (answer any, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("%v", trouble)
		}
	}()
	member := members[c.values["member"]]
	switch c.verb {
	case "metadata":
		return client.Metadata()
	case "create":
		return map[string]any{}, client.Create(c.values["topic"], int32(c.number("partitions")))
	case "grow":
		return map[string]any{}, client.Grow(c.values["topic"], int32(c.number("partitions")))
	case "produce":
		options := Options{c.values["acks"], c.values["codec"], c.values["idempotent"] == "true"}
		return map[string]any{}, client.Produce(c.values["topic"], c.records, options)
	case "consume":
		records, err := client.Consume(c.values["topic"], int32(c.number("partition")), c.start(), int(c.number("count")))
		return map[string]any{"records": written(records)}, err
	case "delete":
		return map[string]any{}, client.Delete(c.values["topic"])
	case "configs":
		configs, err := client.Configs(c.values["topic"])
		return map[string]any{"configs": configs}, err
	case "configure":
		return map[string]any{}, client.Configure(c.values["topic"], c.values["name"], c.values["value"])
	case "join":
		options := Membership{c.values["instance"], c.values["cooperative"] != "", c.values["commit_on_revoke"] != ""}
		member, err := client.Join(c.values["group"], c.values["topic"], options)
		members[c.values["member"]] = member
		return map[string]any{}, err
	case "poll":
		now, err := member.Poll()
		return map[string]any{"records": written(now.Records), "assignment": now.Owned, "revoked": now.Revoked}, err
	case "commit":
		return map[string]any{}, member.Commit()
	case "leave":
		delete(members, c.values["member"])
		return map[string]any{}, member.Leave()
	}
	return nil, fmt.Errorf("unknown verb %s", c.verb)
}

func main() {
	make := map[string]func(string) Client{"franz": newFranz, "sarama": newSarama, "segmentio": newSegmentio}
	client := make[os.Args[1]](os.Args[2])
	members := map[string]Member{}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 64<<20)
	for input.Scan() {
		answer, err := obey(client, members, parse(input.Text()))
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		line, err := json.Marshal(answer)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
}
