<?php

declare(strict_types=1);

namespace App\Controller;

use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\RedirectResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

/**
 * Signs in through another site, as OAuth does. The state that protects it is
 * written by the pod the user leaves from and read by the one the user comes
 * back to.
 */
final class ConnectController
{
    public function start(Request $request): Response
    {
        $state = bin2hex(random_bytes(16));
        $request->getSession()->set('oauth_state', $state);

        return new RedirectResponse('https://id.example/authorize?' . http_build_query([
            'client_id' => 'shop',
            'state' => $state,
        ]));
    }

    public function check(Request $request): Response
    {
        // Taken out at once: a state is good for one try.
        $state = $request->getSession()->remove('oauth_state');
        if ($state === null || !hash_equals($state, (string) $request->query->get('state'))) {
            return new JsonResponse(['error' => 'unknown state'], Response::HTTP_FORBIDDEN);
        }

        return new JsonResponse(['connected' => true]);
    }
}
