"""WeCom (企业微信): messages of members to an app, and what happens to customer contacts."""
