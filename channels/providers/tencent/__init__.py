"""Tencent: WeChat Official Account, WeCom and WeCom customer service. Shared: envelope, XML, tokens, calls."""
