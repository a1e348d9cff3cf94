"""A provider's suite of WeCom (第三方应用, 代开发应用模板). It stores what its customers' apps need."""
