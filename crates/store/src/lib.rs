//! Redis: keys, scripts, stage queues, batches, events. The only user of redis.
