//! The OpenAPI document: what the handlers say of themselves, and what holds for all of them.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::{events, operations, runs, searches, strategies};
use crate::serve::views::ErrorView;

/// What the handlers say.
#[derive(OpenApi)]
#[openapi(
    paths(
        operations::live, operations::ready, operations::metrics, operations::openapi, operations::log_level,
        operations::shutdown, searches::list, searches::submit, searches::show, searches::rerun, runs::list,
        runs::show, runs::jobs, runs::job, runs::curve, runs::log, runs::pause, runs::resume, runs::stop, runs::swap,
        runs::roll_back, runs::fork, events::events, strategies::list, strategies::upload, strategies::quarantine,
        strategies::release,
    ),
    info(
        title = "nasd",
        description = "Searches of a daemon on this machine: what runs, and who changes what.\n\nEvery request but \
                       those for `/live` and `/ready` carries the token that lies in the file `token` of the daemon's \
                       state folder. Times are seconds since 1970. Whatever goes wrong is a document of one line, \
                       `error`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ErrorView)),
    tags(
        (name = "operations", description = "The daemon itself."),
        (name = "searches", description = "What is to be run, and when."),
        (name = "runs", description = "What runs and ran."),
        (name = "strategies", description = "Components."),
    )
)]
struct Said;

/// The document.
pub fn openapi() -> Value {
    let mut document = serde_json::to_value(Said::openapi()).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("security".into(), json!([{ "token": [] }]));
    }
    if let Some(Value::Object(components)) = document.get_mut("components") {
        let scheme = json!({ "token": { "type": "http", "scheme": "bearer" } });
        components.insert("securitySchemes".into(), scheme);
    }
    if let Some(Value::Object(paths)) = document.get_mut("paths") {
        for (path, item) in paths {
            let operations = item.as_object_mut().into_iter().flatten().filter_map(|(_, value)| value.as_object_mut());
            operations.for_each(|operation| complete(path, operation));
        }
    }
    whole_numbers(&mut document);
    document
}

/// Numbers without a sign: their greatest is not that of numbers with one, which `format` would say.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let greatest = match fields.get("format").and_then(Value::as_str) {
                Some("int64") => u64::MAX,
                Some("int32") => u64::from(u32::MAX),
                _ => 0,
            };
            if greatest > 0 && fields.get("minimum").is_some_and(|least| least.as_f64() >= Some(0.0)) {
                fields.remove("format");
                fields.entry("maximum").or_insert(greatest.into());
            }
            fields.values_mut().for_each(whole_numbers);
        }
        Value::Array(values) => values.iter_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// What one event of a stream is.
fn server_event() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["event", "data"],
        "properties": { "id": text, "event": text, "data": text },
    })
}

/// What holds for all operations need not be said by each.
fn complete(path: &str, operation: &mut Map<String, Value>) {
    let tag = operation.get("tags").and_then(|tags| tags.get(0)).and_then(Value::as_str).unwrap_or_default();
    let name = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    operation.insert("operationId".into(), format!("{tag}-{}", name.replace('_', "-")).into());
    let is_open = operation.contains_key("security");
    let (takes, sends) = (operation.contains_key("parameters"), operation.contains_key("requestBody"));
    let mut general = vec![("403", "Host or Origin is not the daemon.")];
    if !is_open {
        general.push(("401", "Without the token."));
        general.push(("500", "Something failed in the daemon; its log says what."));
        general.push(("503", "The daemon takes nothing on, or was too slow."));
    }
    if takes || sends {
        general.push(("400", "It cannot be read."));
    }
    if path.contains('{') {
        general.push(("404", "There is no such thing."));
    }
    if sends {
        general.push(("408", "It did not come in time."));
        general.push(("413", "It is too long: over 1 MiB, a component over 64 MiB."));
        general.push(("415", "It is not sent as JSON."));
        general.push(("422", "It was read, and is wrong."));
    }
    if let Some(Value::Object(responses)) = operation.get_mut("responses") {
        let streams =
            responses.values_mut().filter_map(|response| response.pointer_mut("/content/text~1event-stream/schema"));
        streams.for_each(|schema| *schema = server_event());
        for (status, description) in general {
            let schema = json!({ "$ref": "#/components/schemas/ErrorView" });
            let response =
                json!({ "description": description, "content": { "application/json": { "schema": schema } } });
            responses.entry(status).or_insert(response);
        }
    }
}
