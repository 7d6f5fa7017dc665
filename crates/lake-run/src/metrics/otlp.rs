//! OTLP in JSON, as `opentelemetry.proto.collector.metrics.v1` has it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Family, Unit};

/// A request to take the gauges of a pipeline, measured `at` this time.
pub(super) fn request(pipeline: &str, families: &[Family], at: DateTime<Utc>) -> Value {
    // In JSON, numbers of 64 bits are texts.
    let at = at.timestamp_nanos_opt().unwrap_or_default().to_string();
    let own = attribute("pipeline", pipeline);
    let metrics = families.iter().filter(|family| !family.samples.is_empty());
    let metrics = metrics.map(|family| {
        let points = family.samples.iter().map(|sample| {
            let labels = sample.labels.iter();
            let labels = labels.map(|(name, value)| attribute(name, value));
            let all: Vec<Value> = [own.clone()].into_iter().chain(labels).collect();
            json!({ "attributes": all, "timeUnixNano": at, "asDouble": sample.value })
        });
        let unit = match family.unit {
            Unit::Seconds => "s",
            Unit::Bytes => "By",
            Unit::One => "1",
        };
        json!({
            "name": family.name,
            "description": family.help,
            "unit": unit,
            "gauge": { "dataPoints": points.collect::<Vec<_>>() },
        })
    });
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "resourceMetrics": [{
            "resource": {
                "attributes": [attribute("service.name", "lake"), attribute("service.version", version)],
            },
            "scopeMetrics": [{
                "scope": { "name": "lake", "version": version },
                "metrics": metrics.collect::<Vec<_>>(),
            }],
        }],
    })
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

/// What a server says that it has not taken, although it has answered well.
pub(super) fn rejected(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let partial = &answer["partialSuccess"];
    // A number of 64 bits again, and some servers write it as one.
    let count = match &partial["rejectedDataPoints"] {
        Value::String(count) => count.parse().unwrap_or(0),
        count => count.as_i64().unwrap_or(0),
    };
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    (count > 0).then(|| format!("it rejected {count} of the gauges: {message}"))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_gauge_is_a_point_with_its_labels_and_the_time() {
        let families = [Family {
            name: "lake_run_input_bytes",
            help: "Bytes.",
            unit: Unit::Bytes,
            samples: vec![sample([("input", "readings")], 12.5)],
        }];
        let at = DateTime::from_timestamp_micros(1_764_561_234_000_001).unwrap();
        let request = request("utility", &families, at);
        let metric = &request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
        assert_eq!(
            *metric,
            json!({
                "name": "lake_run_input_bytes",
                "description": "Bytes.",
                "unit": "By",
                "gauge": { "dataPoints": [{
                    "attributes": [
                        { "key": "pipeline", "value": { "stringValue": "utility" } },
                        { "key": "input", "value": { "stringValue": "readings" } },
                    ],
                    "timeUnixNano": "1764561234000001000",
                    "asDouble": 12.5,
                }] },
            })
        );
    }

    #[test]
    fn what_a_server_has_not_taken_is_told() {
        let answer = r#"{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"too old"}}"#;
        let said = rejected(answer).unwrap();
        assert_eq!(said, "it rejected 2 of the gauges: too old");
        for answer in ["{}", "", r#"{"partialSuccess":{}}"#] {
            assert_eq!(rejected(answer), None);
        }
    }
}
