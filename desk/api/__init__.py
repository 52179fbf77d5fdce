"""REST v1, one file per resource. `operations` is the one list that routes and the OpenAPI document are made from."""
