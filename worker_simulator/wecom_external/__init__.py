"""Group sends to customers and customer groups (企业群发). Access tokens and uploads are in `wecom_app`."""
