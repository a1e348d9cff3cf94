"""Group sends to customers and customer groups (企业群发). Tokens and uploads are those of the app rooms."""
