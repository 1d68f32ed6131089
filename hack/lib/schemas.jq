# From the API server's OpenAPI (version 2) to JSON schema: what OpenAPI says in words is said as a type, and an object
# has the properties that it lists and no others.
def closed:
  if type == "object" and .type == "object" and (.properties | type) == "object"
    and (has("additionalProperties") | not) and (.["x-kubernetes-preserve-unknown-fields"] | not)
  then .additionalProperties = false else . end;
def int_or_string:
  if type == "object" and (.format == "int-or-string" or .["x-kubernetes-int-or-string"] == true)
  then {oneOf: [{type: "string"}, {type: "integer"}]} else . end;
# Formats are checked by the API server itself.
def no_format: if type == "object" and (.format | type) == "string" then del(.format) else . end;

{definitions: (.definitions
  | .["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {oneOf: [{type: "string"}, {type: "number"}]}
  | walk(int_or_string | closed | no_format))}
