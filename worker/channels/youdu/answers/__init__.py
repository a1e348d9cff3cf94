"""What answers of Youdu say: of the people a call was for, in the server's words or a proxy's."""
