<?php
// One request a line on stdin: session id, field, address of the node.
// One JSON object a line on stdout: whether the save was acknowledged, the
// fields that the session had when it was opened, and what PHP complained of.

ini_set('session.save_handler', 'redis');
ini_set('session.use_cookies', '0');
ini_set('session.use_strict_mode', '0');
ini_set('session.cache_limiter', '');
ini_set('session.gc_probability', '0');

$complaints = [];
set_error_handler(function ($level, $message) use (&$complaints) {
    $complaints[] = $message;
    return true;
});

while (($line = fgets(STDIN)) !== false) {
    [$id, $field, $address] = explode(' ', trim($line));
    $complaints = [];
    $fields = null;
    $saved = false;
    try {
        session_save_path("tcp://$address?timeout=2&read_timeout=5");
        session_id($id);
        if (session_start()) {
            $fields = array_map('strval', array_keys($_SESSION));
            $_SESSION[$field] = 1;
            $saved = session_write_close();
        }
    } catch (Throwable $e) {
        $complaints[] = get_class($e) . ': ' . $e->getMessage();
        try {
            session_abort();
        } catch (Throwable $e) {
        }
    }
    $_SESSION = [];
    fwrite(STDOUT, json_encode([
        'saved' => $saved && !$complaints,
        'fields' => $fields,
        'complaints' => $complaints,
    ]) . "\n");
}
